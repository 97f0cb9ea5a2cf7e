//! A broker inside the test that serves gRPC on a socket.

use std::{net::SocketAddr, time::Duration};

use tidings::{
    broker::Broker,
    grpc::{Serving, serve},
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt;

pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) done: JoinHandle<()>,
}

impl Served {
    pub(crate) async fn start(broker: Broker, grace: Duration) -> Served {
        Served::start_as(broker, Serving { grace, ..Serving::default() }).await
    }

    pub(crate) async fn start_as(broker: Broker, serving: Serving) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(async move {
            let stop = async { stopped.await.unwrap_or_default() };
            serve(broker, listener, serving, stop).await.expect("served");
        });
        Served { address, stop, done }
    }

    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).expect("a URI");
        endpoint.connect().await.expect("connected")
    }
}

pub(crate) fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info().expect("every error has its reason");
    assert_eq!(info.domain, "tidings");
    info.reason.clone()
}
