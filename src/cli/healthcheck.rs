//! `tidings healthcheck`: exit 0 where the server serves, 1 where it does not, 69 where none is.

use std::time::Duration;

use clap::Args;
use tokio::time;

use super::{Exit, Server};
use crate::{
    config::values::Period,
    grpc::client::{CallError, Health},
};

#[derive(Debug, Args)]
pub(super) struct Healthcheck {
    #[command(flatten)]
    server: Server,
    /// Ask for one service, such as tidings.v1.Broker, instead of the whole server.
    #[arg(long, default_value = "")]
    service: String,
    /// Give up after this time.
    #[arg(long, default_value = "2s")]
    timeout: Period,
}

impl Healthcheck {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let answer = time::timeout(self.timeout.0, self.ask()).await;
        let health =
            answer.unwrap_or_else(|_| Err(silence(&self.server.address, self.timeout.0)))?;
        Ok(match health {
            Health::Serving => {
                println!("serving");
                Exit::Done
            }
            Health::NotServing | Health::Unknown => {
                println!("not serving");
                Exit::Failed
            }
        })
    }

    async fn ask(&self) -> Result<Health, CallError> {
        self.server.connect().await?.health(&self.service).await
    }
}

fn silence(address: &str, after: Duration) -> CallError {
    CallError {
        code: "UNAVAILABLE",
        message: format!("no answer from {address} within {}", Period(after)).into(),
        ..CallError::default()
    }
}
