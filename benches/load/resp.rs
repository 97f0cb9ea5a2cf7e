//! As much of Redis's protocol as publishers and subscribers need.

use anyhow::{Result, bail};

use super::tally::Sink;

/// A connection that subscribes to one channel, or publishes.
#[derive(Debug)]
pub(crate) struct Resp {
    stream: usize,
    /// How a message begins that has the usual length.
    usual: Vec<u8>,
    usual_bytes: usize,
}

impl Resp {
    pub(crate) fn new(stream: usize, topic: &str, event_bytes: usize) -> Resp {
        let usual =
            format!("*3\r\n$7\r\nmessage\r\n${}\r\n{topic}\r\n${event_bytes}\r\n", topic.len());
        Resp { stream, usual: usual.into_bytes(), usual_bytes: event_bytes }
    }

    pub(crate) fn subscribe(topic: &str) -> Vec<u8> {
        format!("*2\r\n$9\r\nSUBSCRIBE\r\n${}\r\n{topic}\r\n", topic.len()).into_bytes()
    }

    /// A PUBLISH, and where its event begins.
    pub(crate) fn publish(topic: &str, event: &[u8]) -> (Vec<u8>, usize) {
        let head =
            format!("*3\r\n$7\r\nPUBLISH\r\n${}\r\n{topic}\r\n${}\r\n", topic.len(), event.len());
        (([head.as_bytes(), event, b"\r\n"]).concat(), head.len())
    }

    /// Tells the sink of all that is whole, and returns how many bytes that was.
    pub(crate) fn consume(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<usize> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            let whole = self.usual.len() + self.usual_bytes + 2;
            if rest.len() >= whole && rest.starts_with(&self.usual) {
                sink.event(self.stream, &rest[self.usual.len()..whole - 2]);
                at += whole;
                continue;
            }
            let Some(length) = self.value(rest, sink)? else { return Ok(at) };
            at += length;
        }
    }

    fn value(&self, bytes: &[u8], sink: &mut impl Sink) -> Result<Option<usize>> {
        let Some((line, mut at)) = line(bytes) else { return Ok(None) };
        match line.split_at_checked(1) {
            Some((":", _)) => sink.answered(),
            Some(("-", error)) => sink.fault(format!("redis says {error:?}")),
            Some(("*", "3")) => {
                let mut parts: [&[u8]; 3] = [b""; 3];
                for part in &mut parts {
                    let Some((value, length)) = part_of_message(&bytes[at..])? else {
                        return Ok(None);
                    };
                    *part = value;
                    at += length;
                }
                match parts {
                    [b"message", _, event] => sink.event(self.stream, event),
                    [b"subscribe", ..] => sink.ready(self.stream),
                    [kind, ..] => {
                        sink.fault(format!("redis sent a {:?}", String::from_utf8_lossy(kind)))
                    }
                }
            }
            _ => bail!("redis sent {line:?}"),
        }
        Ok(Some(at))
    }
}

/// A line without its end, and its length with it.
pub(crate) fn line(bytes: &[u8]) -> Option<(&str, usize)> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    Some((std::str::from_utf8(&bytes[..end]).unwrap_or("something that is no text"), end + 2))
}

fn part_of_message(bytes: &[u8]) -> Result<Option<(&[u8], usize)>> {
    let Some((line, at)) = line(bytes) else { return Ok(None) };
    if let Some(length) = line.strip_prefix('$') {
        let length: usize = length.parse()?;
        let whole = bytes.get(at..at + length + 2);
        return Ok(whole.map(|part| (&part[..length], at + length + 2)));
    }
    match line.strip_prefix(':') {
        Some(number) => Ok(Some((number.as_bytes(), at))),
        None => bail!("redis sent {line:?} inside a message"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tally::tests::Told;
    use super::*;

    const HEARD: &[u8] = b"*3\r\n$9\r\nsubscribe\r\n$6\r\norders\r\n:1\r\n\
        *3\r\n$7\r\nmessage\r\n$6\r\norders\r\n$5\r\nfirst\r\n\
        *3\r\n$7\r\nmessage\r\n$6\r\norders\r\n$9\r\nthe\r\nrest\r\n:12\r\n-ERR no\r\n";

    #[test]
    fn messages_are_read_whole_however_they_are_cut() {
        let expected =
            ["ready 4", "4: first", "4: the\r\nrest", "answered", "fault: redis says \"ERR no\""];
        for cut in 0..HEARD.len() {
            let (mut resp, mut told) = (Resp::new(4, "orders", 5), Told::default());
            let done = resp.consume(&HEARD[..cut], &mut told).unwrap();
            assert!(done <= cut);
            assert_eq!(resp.consume(&HEARD[done..], &mut told).unwrap(), HEARD.len() - done);
            assert_eq!(told.0, expected, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_not_redis_is_refused() {
        let mut resp = Resp::new(0, "orders", 5);
        assert!(resp.consume(b"HTTP/1.1 400 Bad Request\r\n", &mut Told::default()).is_err());
    }

    #[test]
    fn a_publish_is_a_command_with_the_event_in_it() {
        let (command, at) = Resp::publish("orders", b"hello");
        assert_eq!(command, b"*3\r\n$7\r\nPUBLISH\r\n$6\r\norders\r\n$5\r\nhello\r\n");
        assert_eq!(&command[at..at + 5], b"hello");
    }
}
