//! A reader that asks Redis itself: XRANGE after XRANGE, as a program that speaks to Redis would.

use anyhow::{Result, bail};

use super::{payload::varint, resp, tally::Sink};

/// Entries that XRANGE is asked for.
const PAGE: &str = "1000";

pub(crate) fn key(topic: &str) -> String {
    format!("td:{{{topic}}}:s")
}

pub(crate) fn command(words: &[&str]) -> Vec<u8> {
    let mut command = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        command.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    command
}

/// What XRANGE answers: the next page is asked for when the last one is read.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    /// For the sink.
    stream: usize,
    key: String,
    /// The entry that came last: `epoch-sequence`; none where none did.
    pub(crate) last: String,
    /// How many the page has; none while its head has not come.
    whole: Option<u64>,
    /// Those of them that have not come.
    left: u64,
}

impl Pages {
    pub(crate) fn after(stream: usize, topic: &str, last: String) -> Pages {
        Pages { stream, key: key(topic), last, whole: None, left: 0 }
    }

    /// Asks for the next page.
    pub(crate) fn ask(&mut self, out: &mut Vec<u8>) {
        let from = if self.last.is_empty() { "-".into() } else { format!("({}", self.last) };
        (self.whole, self.left) = (None, 0);
        out.extend_from_slice(&command(&["XRANGE", &self.key, &from, "+", "COUNT", PAGE]));
    }

    /// Whether the page that was asked for has come.
    pub(crate) fn is_read(&self) -> bool {
        self.whole.is_some() && self.left == 0
    }

    pub(crate) fn consume(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<usize> {
        let mut at = 0;
        if self.whole.is_none() {
            let Some((count, next)) = head(bytes, "*")? else { return Ok(0) };
            (self.whole, self.left, at) = (Some(count), count, next);
        }
        while self.left > 0 {
            let Some(length) = self.entry(&bytes[at..], sink)? else { break };
            at += length;
            self.left -= 1;
        }
        Ok(at)
    }

    /// The same, and asks for the next page when one is read.
    pub(crate) fn go_on(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<usize> {
        let done = self.consume(bytes, sink)?;
        if self.is_read() {
            self.ask(out);
        }
        Ok(done)
    }

    fn entry(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<Option<usize>> {
        let Some((_, mut at)) = head(bytes, "*")? else { return Ok(None) };
        let Some((id, length)) = text(&bytes[at..])? else { return Ok(None) };
        at += length;
        let Some((fields, length)) = head(&bytes[at..], "*")? else { return Ok(None) };
        at += length;
        let mut event = None;
        for _ in 0..fields / 2 {
            let Some((name, length)) = text(&bytes[at..])? else { return Ok(None) };
            at += length;
            let Some((value, length)) = text(&bytes[at..])? else { return Ok(None) };
            at += length;
            if name == b"e" {
                event = Some(value);
            }
        }
        // Behind its number and its length, as a field of a batch.
        if let Some(mut event) = event {
            varint(&mut event);
            varint(&mut event);
            sink.event(self.stream, event);
        }
        self.last.clear();
        self.last.push_str(std::str::from_utf8(id)?);
        Ok(Some(at))
    }
}

/// A line that begins so, its number, and its length with its end.
fn head(bytes: &[u8], begin: &str) -> Result<Option<(u64, usize)>> {
    // Lines are short: what lies behind is not searched.
    let Some((line, length)) = resp::line(&bytes[..bytes.len().min(32)]) else { return Ok(None) };
    match line.strip_prefix(begin) {
        Some(number) => Ok(Some((number.parse()?, length))),
        None => bail!("redis sent {line:?}"),
    }
}

fn text(bytes: &[u8]) -> Result<Option<(&[u8], usize)>> {
    let Some((length, at)) = head(bytes, "$")? else { return Ok(None) };
    let end = at + length as usize;
    Ok(bytes.get(..end + 2).map(|whole| (&whole[at..end], end + 2)))
}

#[cfg(test)]
mod tests {
    use super::{super::tally::tests::Told, *};

    const ANSWER: &[u8] = b"*2\r\n*2\r\n$3\r\n7-0\r\n*2\r\n$3\r\nwhy\r\n$7\r\ncreated\r\n\
        *2\r\n$3\r\n7-1\r\n*4\r\n$1\r\nt\r\n$1\r\n5\r\n$1\r\ne\r\n$7\r\n\x7a\x05hello\r\n";

    #[test]
    fn pages_are_read_whole_however_they_are_cut() {
        for cut in 0..ANSWER.len() {
            let (mut pages, mut told) = (Pages::default(), Told::default());
            let done = pages.consume(&ANSWER[..cut], &mut told).unwrap();
            let rest = pages.consume(&ANSWER[done..], &mut told).unwrap();
            assert_eq!((done + rest, told.0), (ANSWER.len(), vec!["0: hello".to_owned()]));
            assert!(pages.is_read(), "cut at {cut}");
            assert_eq!(pages.last, "7-1");
        }
    }
}
