//! `tidings pub`: events from an argument, a file or stdin; receipts as JSON lines.

use std::{io::Read as _, path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use tokio::{
    fs::File,
    io::{self, AsyncBufRead, AsyncBufReadExt as _, BufReader, Lines},
    time,
};

use super::{Exit, Server, WrongUsage, event, print_line};
use crate::{
    grpc::client::Client,
    limits::{REQUEST_BYTES_MAX, REQUEST_EVENTS_MAX},
    proto::{Durability, Event, PublishRequest, PublishResponse},
    topic::Topic,
};
use prost::Message as _;

#[derive(Debug, Args)]
pub(super) struct Pub {
    /// Where to publish.
    topic: Topic,
    /// The data; `-` or nothing reads all of stdin.
    #[arg(conflicts_with = "file")]
    data: Option<String>,
    /// Read the data, or the lines, from this file.
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Each line of the input is an event as JSON, as `tidings sub` prints them.
    #[arg(long, conflicts_with_all = ["lines", "count", "data"])]
    json_lines: bool,
    /// Each line of the input is the data of one event.
    #[arg(long, conflicts_with_all = ["count", "data"])]
    lines: bool,
    /// Most events in one call, with --lines and --json-lines.
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u16).range(1..=REQUEST_EVENTS_MAX as i64))]
    batch: u16,
    /// Publish the same event so many times, each a call of its own.
    #[arg(long, value_name = "N", default_value_t = 1)]
    count: u64,
    #[command(flatten)]
    attributes: Attributes,
    /// Check everything and store nothing.
    #[arg(long)]
    validate_only: bool,
    #[command(flatten)]
    server: Server,
}

/// Set on every event that does not say otherwise itself.
#[derive(Debug, Default, Args)]
struct Attributes {
    /// What happened: shop.v1.OrderPlaced.
    #[arg(long = "type", value_name = "TYPE", default_value = "", hide_default_value = true)]
    event_type: String,
    /// Events of one key keep their order.
    #[arg(long, default_value = "", hide_default_value = true)]
    key: String,
    /// What it happened to: order/1234.
    #[arg(long, default_value = "", hide_default_value = true)]
    subject: String,
    /// Who speaks, as a URI reference.
    #[arg(long, default_value = "", hide_default_value = true)]
    source: String,
    /// The event's id; a new one otherwise.
    #[arg(long, default_value = "", hide_default_value = true,
          conflicts_with_all = ["lines", "json_lines", "count"])]
    id: String,
    /// Media type of the data; otherwise found by looking at it.
    #[arg(long, default_value = "", hide_default_value = true)]
    content_type: String,
    /// A CloudEvents extension attribute, such as -H traceparent=00-….
    #[arg(long = "header", short = 'H', value_name = "NAME=VALUE", value_parser = extension)]
    headers: Vec<(String, String)>,
}

/// How long a batch waits for more lines that are on their way.
const BATCH_LINGER: Duration = Duration::from_millis(10);

impl Pub {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        if self.json_lines || self.lines {
            return self.run_lines().await;
        }
        let data = self.data()?;
        let mut event = event::from_data(data, &self.attributes.content_type);
        self.attributes.apply(&mut event);
        let mut client = self.server.connect().await?;
        for _ in 0..self.count {
            self.publish(&mut client, vec![event.clone()]).await?;
        }
        Ok(Exit::Done)
    }

    fn data(&self) -> anyhow::Result<Vec<u8>> {
        let mut data = Vec::new();
        match (&self.file, self.data.as_deref()) {
            (Some(file), _) => {
                data = std::fs::read(file).with_context(|| file.display().to_string())?;
            }
            (None, None | Some("-")) => {
                std::io::stdin().read_to_end(&mut data).context("stdin")?;
            }
            (None, Some(text)) => data = text.into(),
        }
        Ok(data)
    }

    async fn run_lines(self) -> anyhow::Result<Exit> {
        let input: Box<dyn AsyncBufRead + Unpin + Send> = match &self.file {
            Some(file) => {
                let opened = File::open(file).await;
                Box::new(BufReader::new(opened.with_context(|| file.display().to_string())?))
            }
            None => Box::new(BufReader::new(io::stdin())),
        };
        let mut client = self.server.connect().await?;
        let mut lines = input.lines();
        let mut number = 0;
        while let Some(batch) = self.next_batch(&mut lines, &mut number).await? {
            self.publish(&mut client, batch).await?;
        }
        Ok(Exit::Done)
    }

    /// The next lines as events: at least one, and what else is there without waiting for it.
    async fn next_batch(
        &self,
        lines: &mut Lines<Box<dyn AsyncBufRead + Unpin + Send>>,
        number: &mut u64,
    ) -> anyhow::Result<Option<Vec<Event>>> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < usize::from(self.batch) && bytes < REQUEST_BYTES_MAX / 4 {
            // Between batches there is time; `next_line` loses nothing when it is given up.
            let line = if batch.is_empty() {
                lines.next_line().await
            } else {
                match time::timeout(BATCH_LINGER, lines.next_line()).await {
                    Ok(line) => line,
                    Err(_) => break,
                }
            };
            let Some(line) = line.context("the input")? else { break };
            *number += 1;
            if line.trim().is_empty() {
                continue;
            }
            let mut event = if self.json_lines {
                let event = event::parse(&line);
                event.map_err(|error| WrongUsage(format!("line {number}: {error}")))?
            } else {
                event::from_data(line.into_bytes(), &self.attributes.content_type)
            };
            self.attributes.apply(&mut event);
            bytes += event.encoded_len();
            batch.push(event);
        }
        Ok((!batch.is_empty()).then_some(batch))
    }

    async fn publish(&self, client: &mut Client, events: Vec<Event>) -> anyhow::Result<()> {
        let request = PublishRequest {
            topic: self.topic.to_string(),
            events,
            validate_only: self.validate_only,
            ..PublishRequest::default()
        };
        for line in receipts(&client.publish(request).await?) {
            print_line(&line.to_string())?;
        }
        Ok(())
    }
}

impl Attributes {
    fn apply(&self, event: &mut Event) {
        for (to, from) in [
            (&mut event.r#type, &self.event_type),
            (&mut event.key, &self.key),
            (&mut event.subject, &self.subject),
            (&mut event.source, &self.source),
            (&mut event.id, &self.id),
        ] {
            if to.is_empty() {
                to.clone_from(from);
            }
        }
        for (name, value) in &self.headers {
            event.extensions.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

fn extension(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write it as name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn receipts(response: &PublishResponse) -> impl Iterator<Item = serde_json::Value> {
    let durability = response.durability().as_str_name().trim_start_matches("DURABILITY_");
    let known = response.durability() != Durability::Unspecified;
    response.receipts.iter().map(move |receipt| {
        let mut line = json!({});
        if let Some(position) = &receipt.position {
            line["topic"] = position.topic.as_str().into();
            line["epoch"] = position.epoch.into();
            line["sequence"] = position.sequence.into();
        }
        line["id"] = receipt.id.as_str().into();
        if receipt.duplicate {
            line["duplicate"] = true.into();
        }
        if known {
            line["durability"] = durability.into();
        }
        line
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Position, Receipt};
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        command: Pub,
    }

    fn parse(line: &[&str]) -> Result<Pub, clap::Error> {
        Line::try_parse_from([&["pub"], line].concat()).map(|line| line.command)
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            &["orders", "data", "--file", "f"][..],
            &["orders", "--lines", "--json-lines"],
            &["orders", "--lines", "--count", "2"],
            &["orders", "--lines", "--id", "1"],
            &["orders", "--batch", "0"],
            &["orders", "--batch", "1001"],
            &["orders.*", "data"],
            &["orders", "data", "-H", "name"],
            &[],
        ] {
            assert!(parse(line).is_err(), "{line:?} was accepted");
        }
        let both = parse(&["orders", "{}", "--count", "3", "-H", "a=b=c"]).expect("a command");
        assert_eq!((both.count, both.attributes.headers[0].1.as_str()), (3, "b=c"));
    }

    #[test]
    fn attributes_of_the_event_win_over_those_of_the_command() {
        let command = parse(&["t", "x", "--type", "T", "--key", "k", "-H", "a=1"]).expect("parsed");
        let mut event = event::parse(r#"{"type":"own","extensions":{"a":"2"}}"#).expect("an event");
        command.attributes.apply(&mut event);
        assert_eq!((event.r#type.as_str(), event.key.as_str()), ("own", "k"));
        assert_eq!(event.extensions["a"], "2");
    }

    #[tokio::test]
    async fn lines_that_are_there_go_out_together() {
        let command = parse(&["t", "--lines", "--batch", "2"]).expect("a command");
        let input: Box<dyn AsyncBufRead + Unpin + Send> = Box::new(&b"a\n\nb\nc"[..]);
        let (mut lines, mut number) = (input.lines(), 0);
        let mut sizes = Vec::new();
        while let Some(batch) = command.next_batch(&mut lines, &mut number).await.expect("events") {
            sizes.push(batch.len());
        }
        assert_eq!((sizes, number), (vec![2, 1], 4));
    }

    #[tokio::test]
    async fn a_wrong_line_is_named_by_its_number() {
        let command = parse(&["t", "--json-lines"]).expect("a command");
        let input: Box<dyn AsyncBufRead + Unpin + Send> = Box::new(&b"{}\nx"[..]);
        let error = command.next_batch(&mut input.lines(), &mut 0).await.expect_err("no JSON");
        assert!(error.to_string().starts_with("line 2: "), "{error}");
        assert!(error.is::<WrongUsage>());
    }

    #[test]
    fn a_receipt_is_one_line() {
        let position = Position { topic: "orders".into(), epoch: 1, sequence: 2 };
        let receipt = Receipt { id: "i".into(), position: Some(position), duplicate: false };
        let response =
            PublishResponse { receipts: vec![receipt], durability: Durability::Live.into() };
        let lines: Vec<_> = receipts(&response).map(|line| line.to_string()).collect();
        let expected = r#"{"topic":"orders","epoch":1,"sequence":2,"id":"i","durability":"LIVE"}"#;
        assert_eq!(lines, [expected]);
    }
}
