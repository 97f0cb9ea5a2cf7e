//! As much of NATS's protocol as publishers and subscribers need.

use anyhow::{Result, bail};

use super::{resp::line, tally::Sink};

/// Not verbose: the server answers nothing but PING.
const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"bench\",\
                       \"version\":\"1\",\"protocol\":1,\"headers\":false}\r\n";
pub(crate) const PING: &[u8] = b"PING\r\n";
const PONG: &[u8] = b"PONG\r\n";

#[derive(Debug)]
pub(crate) struct Nats {
    role: Role,
    usual: Vec<u8>,
    usual_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    Subscriber(usize),
    /// Each of its PINGs stands for publishes.
    Publisher,
}

impl Nats {
    pub(crate) fn new(role: Role, topic: &str, event_bytes: usize) -> Nats {
        let usual = format!("MSG {topic} 1 {event_bytes}\r\n").into_bytes();
        Nats { role, usual, usual_bytes: event_bytes }
    }

    /// The PONG says that it is done.
    pub(crate) fn subscribe(topic: &str) -> Vec<u8> {
        format!("{CONNECT}SUB {topic} 1\r\nPING\r\n").into_bytes()
    }

    pub(crate) fn connect() -> Vec<u8> {
        CONNECT.as_bytes().to_vec()
    }

    pub(crate) fn publish(topic: &str, event: &[u8]) -> (Vec<u8>, usize) {
        let head = format!("PUB {topic} {}\r\n", event.len());
        ([head.as_bytes(), event, b"\r\n"].concat(), head.len())
    }

    pub(crate) fn consume(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<usize> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            let whole = self.usual.len() + self.usual_bytes + 2;
            if rest.len() >= whole && rest.starts_with(&self.usual) {
                self.event(&rest[self.usual.len()..whole - 2], sink);
                at += whole;
                continue;
            }
            let Some((line, mut length)) = line(rest) else { return Ok(at) };
            let mut words = line.split(' ');
            match words.next() {
                Some("MSG") => {
                    let Some(bytes) = words.next_back() else { bail!("nats sent {line:?}") };
                    let bytes: usize = bytes.parse()?;
                    let Some(event) = rest.get(length..length + bytes + 2) else { return Ok(at) };
                    self.event(&event[..bytes], sink);
                    length += bytes + 2;
                }
                Some("PING") => out.extend_from_slice(PONG),
                Some("PONG") => match self.role {
                    Role::Subscriber(stream) => sink.ready(stream),
                    Role::Publisher => sink.answered(),
                },
                Some("INFO" | "+OK") => (),
                Some("-ERR") => sink.fault(format!("nats says {line:?}")),
                _ => bail!("nats sent {line:?}"),
            }
            at += length;
        }
    }

    fn event(&self, event: &[u8], sink: &mut impl Sink) {
        match self.role {
            Role::Subscriber(stream) => sink.event(stream, event),
            Role::Publisher => sink.fault("nats sent an event to the publisher".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tally::tests::Told;
    use super::*;

    const HEARD: &[u8] = b"INFO {\"version\":\"2\"}\r\nPONG\r\nMSG orders 1 5\r\nfirst\r\nPING\r\n\
        MSG orders 1 9\r\nthe\r\nrest\r\n-ERR 'Slow Consumer'\r\n";

    #[test]
    fn messages_are_read_whole_however_they_are_cut() {
        let expected =
            ["ready 2", "2: first", "2: the\r\nrest", "fault: nats says \"-ERR 'Slow Consumer'\""];
        for cut in 0..HEARD.len() {
            let mut nats = Nats::new(Role::Subscriber(2), "orders", 5);
            let (mut told, mut out) = (Told::default(), Vec::new());
            let done = nats.consume(&HEARD[..cut], &mut out, &mut told).unwrap();
            nats.consume(&HEARD[done..], &mut out, &mut told).unwrap();
            assert_eq!(told.0, expected, "cut at {cut}");
            assert_eq!(out, PONG, "a PING is answered");
        }
    }

    #[test]
    fn what_is_not_nats_is_refused() {
        let mut nats = Nats::new(Role::Publisher, "orders", 5);
        assert!(nats.consume(b"HTTP/1.1 400\r\n", &mut Vec::new(), &mut Told::default()).is_err());
    }

    #[test]
    fn a_publish_carries_the_event() {
        let (command, at) = Nats::publish("orders", b"hello");
        assert_eq!(command, b"PUB orders 5\r\nhello\r\n");
        assert_eq!(&command[at..at + 5], b"hello");
    }
}
