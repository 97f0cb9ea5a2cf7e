//! `tidings read`: what is kept of one topic, as JSON lines, and then the end: `tidings sub` with other habits.

use clap::Args;

use super::{
    Exit, Server, WrongUsage,
    sub::{From, Reading, Shown, Sub},
};
use crate::{config::values::Period, topic::Topic};

#[derive(Debug, Args)]
pub(super) struct Read {
    topic: Topic,
    /// Where to begin: earliest, a time (2026-01-31T12:00:00Z), -10m, or after a position
    /// (topic:epoch:sequence).
    #[arg(long, value_name = "START", default_value = "earliest", allow_hyphen_values = true)]
    from: From,
    /// Begin so long ago.
    #[arg(long, value_name = "TIME", conflicts_with = "from")]
    ago: Option<Period>,
    /// Begin so many events before the end.
    #[arg(long, value_name = "N", conflicts_with_all = ["from", "ago"])]
    last: Option<u32>,
    /// Print no more than so many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Print data as JSON, where the server knows how.
    #[arg(long)]
    json: bool,
    /// Print gaps as lines of their own: {"gap": …}. Otherwise they are said on stderr.
    #[arg(long)]
    show_gaps: bool,
    /// Fail instead of going on after a gap.
    #[arg(long)]
    fail_on_gap: bool,
    /// Only events of this type; `shop.v1.*` for all of a package.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Only events of this key.
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// Only events of which this is true, in CEL: 'event.type == "shop.v1.OrderPlaced" &&
    /// data.total > 100'.
    #[arg(long, value_name = "EXPRESSION", default_value = "", hide_default_value = true)]
    cel: String,
    #[command(flatten)]
    server: Server,
}

impl Read {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        self.sub()?.run().await
    }

    fn sub(self) -> Result<Sub, WrongUsage> {
        let from = match (self.ago, self.last, self.from) {
            (Some(ago), _, _) => From::Ago(ago.0),
            (None, Some(last), _) => From::Last(last),
            (None, None, from) => from,
        };
        if let From::After(position) = &from
            && position.topic != self.topic.as_str()
        {
            let why = format!("--from names a place in {}, not in {}", position.topic, self.topic);
            return Err(WrongUsage(why));
        }
        Ok(Sub::reading(Reading {
            topic: self.topic.as_str().parse().expect("a topic is a pattern, too"),
            from,
            limit: self.limit,
            show_gaps: self.show_gaps,
            fail_on_gap: self.fail_on_gap,
            view: if self.json { Shown::Json } else { Shown::Stored },
            types: self.types,
            keys: self.keys,
            cel: self.cel,
            server: self.server,
        }))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::proto::subscribe_request::Start;

    #[derive(Debug, Parser)]
    struct Args {
        #[command(flatten)]
        command: Read,
    }

    fn sub(line: &str) -> Result<Sub, String> {
        let parsed = Args::try_parse_from(["read"].into_iter().chain(line.split(' ')));
        let args = parsed.map_err(|error| error.to_string())?;
        args.command.sub().map_err(|error| error.to_string())
    }

    #[test]
    fn it_begins_at_one_place_and_stops_at_the_end() {
        for (line, start) in [
            ("orders", Some(Start::Earliest(true))),
            ("orders --from earliest", Some(Start::Earliest(true))),
            ("orders --last 3", Some(Start::Last(3))),
            (
                "orders --ago 2m",
                Some(Start::StartAgo(prost_types::Duration { seconds: 120, nanos: 0 })),
            ),
            ("orders --from orders:7:5", None),
        ] {
            let request = sub(line).expect(line).request().expect(line);
            assert_eq!((request.start, request.stop_at_end), (start, true), "{line}");
            assert_eq!(request.resume.len(), usize::from(start.is_none()), "{line}");
        }
        for wrong in [
            "orders.*",
            "orders --limit 0",
            "orders --last 1 --ago 1s",
            "orders --last 1 --from earliest",
            "orders --from others:7:5",
        ] {
            assert!(sub(wrong).is_err(), "{wrong} was accepted");
        }
    }
}
