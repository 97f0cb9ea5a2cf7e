//! As much of HTTP/2 and gRPC as one kind of call needs, by hand: no library is cheaper than none.
//!
//! A connection makes one kind of call: many subscriptions, one stream of publishes, or one unary call
//! after another. It keeps to flow control both ways, and answers PING and SETTINGS.

use anyhow::{Result, bail, ensure};

use super::{
    payload::{Fields, varint},
    tally::Sink,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What a stream may have on its way to us: what docs advise clients to grant.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
const INITIAL_WINDOW: u32 = 65_535;
const FRAME_HEAD: usize = 9;
/// No server takes less, and none here is asked for more.
const FRAME_BYTES_MAX: usize = 16_384;
/// More unary calls than ever are in flight.
pub(crate) const UNARY_MAX: usize = 4096;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

const HEADER_TABLE_SIZE: u16 = 1;
const INITIAL_WINDOW_SIZE: u16 = 4;

#[derive(Debug)]
pub(crate) struct Http2 {
    authority: String,
    calls: Calls,
    next_id: u32,
    /// What the server lets us send: on the connection, on the stream of publishes, on a new stream.
    connection_credit: i64,
    stream_credit: i64,
    initial_credit: i64,
    /// What arrived since the server was last told to go on.
    unacknowledged: u32,
    /// Where in the bytes to be sent a DATA frame stands that more messages may join.
    open_frame: Option<usize>,
}

#[derive(Debug)]
pub(crate) enum Calls {
    /// Their numbers for the sink begin with `first`.
    Subscriptions {
        first: usize,
        inbound: Vec<Inbound>,
    },
    Stream {
        inbound: Inbound,
        answered: u64,
    },
    Unary(Unary),
}

#[derive(Debug, Default)]
pub(crate) struct Inbound {
    /// The begin of a message whose end has not arrived.
    partial: Vec<u8>,
    unacknowledged: u32,
}

#[derive(Debug)]
pub(crate) struct Unary {
    /// By stream: its slot, and whether its message arrived.
    calls: Vec<(u32, bool)>,
    /// Which of the calls that may be in flight are not.
    free: Vec<u32>,
}

impl Calls {
    pub(crate) fn subscriptions(first: usize, count: usize) -> Calls {
        Calls::Subscriptions { first, inbound: (0..count).map(|_| Inbound::default()).collect() }
    }

    pub(crate) fn stream() -> Calls {
        Calls::Stream { inbound: Inbound::default(), answered: 0 }
    }

    pub(crate) fn unary(in_flight: usize) -> Calls {
        assert!(in_flight <= UNARY_MAX, "{in_flight} unary calls in flight");
        let free = (0..in_flight as u32).rev().collect();
        Calls::Unary(Unary { calls: vec![(0, false); UNARY_MAX], free })
    }

    fn path(&self) -> &'static str {
        match self {
            Calls::Subscriptions { .. } => "/tidings.v1.Broker/Subscribe",
            Calls::Stream { .. } => "/tidings.v1.Broker/PublishStream",
            Calls::Unary(_) => "/tidings.v1.Broker/Publish",
        }
    }
}

/// The requests of a stream of publishes are numbered from here: five bytes each, whatever the number.
pub(crate) const FIRST_REQUEST_ID: u64 = 1 << 28;

impl Http2 {
    /// Says hello; a stream of publishes is opened at once.
    pub(crate) fn new(authority: &str, calls: Calls, out: &mut Vec<u8>) -> Http2 {
        let mut http2 = Http2 {
            authority: authority.into(),
            calls,
            next_id: 1,
            connection_credit: INITIAL_WINDOW.into(),
            stream_credit: INITIAL_WINDOW.into(),
            initial_credit: INITIAL_WINDOW.into(),
            unacknowledged: 0,
            open_frame: None,
        };
        out.extend_from_slice(PREFACE);
        frame(out, SETTINGS, 0, 0, 12);
        // No pushes.
        out.extend_from_slice(&[0, 2, 0, 0, 0, 0]);
        out.extend_from_slice(&INITIAL_WINDOW_SIZE.to_be_bytes());
        out.extend_from_slice(&STREAM_WINDOW.to_be_bytes());
        window_update(out, 0, CONNECTION_WINDOW - INITIAL_WINDOW);
        if matches!(http2.calls, Calls::Stream { .. }) {
            http2.open(out);
        }
        http2
    }

    /// A call with all of its request: `message` has its gRPC prefix.
    pub(crate) fn call(&mut self, message: &[u8], out: &mut Vec<u8>) {
        let id = self.open(out);
        frame(out, DATA, END_STREAM, id, message.len());
        out.extend_from_slice(message);
        self.connection_credit -= message.len() as i64;
    }

    fn open(&mut self, out: &mut Vec<u8>) -> u32 {
        let id = self.next_id;
        self.next_id += 2;
        if id > 1 {
            // The server has them in its table since the first call: path, authority, media type, te.
            frame(out, HEADERS, END_HEADERS, id, 6);
            out.extend_from_slice(&[0x83, 0x86, 0xc1, 0xc0, 0xbf, 0xbe]);
            return id;
        }
        let mut block = vec![0x83, 0x86];
        let mut text = |name: &[u8], value: &str| {
            block.extend_from_slice(name);
            block.push(value.len() as u8);
            block.extend_from_slice(value.as_bytes());
        };
        text(&[0x44], self.calls.path());
        text(&[0x41], &self.authority);
        text(&[0x5f], "application/grpc");
        text(&[0x40, 2, b't', b'e'], "trailers");
        frame(out, HEADERS, END_HEADERS, id, block.len());
        out.extend_from_slice(&block);
        id
    }

    /// Whether flow control lets a message of so many bytes be sent now.
    pub(crate) fn may_send(&self, bytes: usize) -> bool {
        let stream = match self.calls {
            Calls::Stream { .. } => self.stream_credit,
            Calls::Subscriptions { .. } | Calls::Unary(_) => self.initial_credit,
        };
        bytes as i64 <= self.connection_credit.min(stream)
    }

    /// Which call is free to be made, where unary calls are made.
    pub(crate) fn free_slot(&self) -> Option<u32> {
        match &self.calls {
            Calls::Unary(unary) => unary.free.last().copied(),
            Calls::Subscriptions { .. } | Calls::Stream { .. } => None,
        }
    }

    /// Makes the call that [`free_slot`](Self::free_slot) named.
    pub(crate) fn call_in_slot(&mut self, message: &[u8], out: &mut Vec<u8>) {
        let call = (self.next_id / 2) as usize % UNARY_MAX;
        if let Calls::Unary(unary) = &mut self.calls {
            let slot = unary.free.pop().expect("a slot was free");
            unary.calls[call] = (slot, false);
        }
        self.call(message, out);
    }

    /// On the stream of publishes. Messages that leave together share a DATA frame, as they do from the
    /// clients of most languages.
    pub(crate) fn send(&mut self, message: &[u8], out: &mut Vec<u8>) {
        self.connection_credit -= message.len() as i64;
        self.stream_credit -= message.len() as i64;
        let mut rest = message;
        while !rest.is_empty() {
            let begun = match self.open_frame {
                Some(at) if out.len() - at - FRAME_HEAD < FRAME_BYTES_MAX => at,
                _ => {
                    frame(out, DATA, 0, 1, 0);
                    out.len() - FRAME_HEAD
                }
            };
            self.open_frame = Some(begun);
            let room = FRAME_BYTES_MAX - (out.len() - begun - FRAME_HEAD);
            let (now, later) = rest.split_at(room.min(rest.len()));
            out.extend_from_slice(now);
            let length = (out.len() - begun - FRAME_HEAD) as u32;
            out[begun..begun + 3].copy_from_slice(&length.to_be_bytes()[1..]);
            rest = later;
        }
    }

    /// What is to be sent is being sent: nothing may join it any more.
    pub(crate) fn close_frame(&mut self) {
        self.open_frame = None;
    }

    pub(crate) fn consume(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<usize> {
        let mut at = 0;
        while let Some((head, rest)) = bytes[at..].split_at_checked(FRAME_HEAD) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let Some(payload) = rest.get(..length) else { break };
            let id = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
            self.frame(head[3], head[4], id, payload, out, sink)?;
            at += FRAME_HEAD + length;
        }
        Ok(at)
    }

    fn frame(
        &mut self,
        kind: u8,
        flags: u8,
        id: u32,
        payload: &[u8],
        out: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<()> {
        match kind {
            DATA => {
                ensure!(flags & PADDED == 0, "the server pads, which nobody expected");
                self.data(id, payload, out, sink)?;
                if flags & END_STREAM != 0 {
                    self.ended(id, sink);
                }
            }
            HEADERS if flags & END_STREAM != 0 => self.ended(id, sink),
            SETTINGS if flags & ACK == 0 => {
                // Nothing of ours may stand behind a frame that others may join.
                self.open_frame = None;
                self.settings(payload)?;
                frame(out, SETTINGS, ACK, 0, 0);
            }
            PING if flags & ACK == 0 => {
                self.open_frame = None;
                frame(out, PING, ACK, 0, payload.len());
                out.extend_from_slice(payload);
            }
            WINDOW_UPDATE => {
                let increment = i64::from(number(payload)?);
                match (id, &self.calls) {
                    (0, _) => self.connection_credit += increment,
                    (1, Calls::Stream { .. }) => self.stream_credit += increment,
                    _ => (),
                }
            }
            RST_STREAM => {
                let code = number(payload)?;
                if !self.has_ended(id) {
                    sink.fault(format!("the server reset a stream with code {code}"));
                }
            }
            GOAWAY => {
                let text = payload.get(8..).unwrap_or_default();
                sink.fault(format!("GOAWAY: {}", String::from_utf8_lossy(text)));
            }
            PUSH_PROMISE => bail!("the server pushes, which it was told not to"),
            _ => (),
        }
        Ok(())
    }

    fn settings(&mut self, payload: &[u8]) -> Result<()> {
        for setting in payload.chunks_exact(6) {
            let value = number(&setting[2..])?;
            match u16::from_be_bytes([setting[0], setting[1]]) {
                HEADER_TABLE_SIZE => ensure!(value >= 512, "the server keeps no header table"),
                INITIAL_WINDOW_SIZE => {
                    self.stream_credit += i64::from(value) - self.initial_credit;
                    self.initial_credit = value.into();
                }
                _ => (),
            }
        }
        Ok(())
    }

    fn data(
        &mut self,
        id: u32,
        payload: &[u8],
        out: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<()> {
        self.unacknowledged += payload.len() as u32;
        if self.unacknowledged >= CONNECTION_WINDOW / 2 {
            self.open_frame = None;
            window_update(out, 0, self.unacknowledged);
            self.unacknowledged = 0;
        }
        let call = (id / 2) as usize;
        let inbound = match &mut self.calls {
            Calls::Subscriptions { first, inbound } => {
                ensure!(call < inbound.len(), "DATA on a stream that was not opened: {id}");
                let (stream, inbound) = (*first + call, &mut inbound[call]);
                inbound.take(payload, |message| delivery(stream, message, sink))?;
                inbound
            }
            Calls::Stream { inbound, answered } => {
                inbound.take(payload, |message| {
                    stream_answer(message, FIRST_REQUEST_ID + *answered, sink);
                    *answered += 1;
                })?;
                inbound
            }
            Calls::Unary(unary) => {
                unary.calls[call % UNARY_MAX].1 |= !payload.is_empty();
                return Ok(());
            }
        };
        inbound.unacknowledged += payload.len() as u32;
        if inbound.unacknowledged >= STREAM_WINDOW / 2 {
            self.open_frame = None;
            window_update(out, id, inbound.unacknowledged);
            inbound.unacknowledged = 0;
        }
        Ok(())
    }

    /// A stream of ours ends by itself only where a unary call was answered.
    fn ended(&mut self, id: u32, sink: &mut impl Sink) {
        match &mut self.calls {
            Calls::Unary(unary) => {
                let (slot, message) = unary.calls[(id / 2) as usize % UNARY_MAX];
                unary.free.push(slot);
                if message { sink.answered() } else { sink.fault("a call was refused".into()) }
            }
            Calls::Subscriptions { .. } => sink.fault("the server ended a subscription".into()),
            Calls::Stream { .. } => sink.fault("the server ended the stream of publishes".into()),
        }
    }

    fn has_ended(&self, _id: u32) -> bool {
        // A server may reset a unary call after its answer, to say that it needs no more of the request.
        matches!(self.calls, Calls::Unary(_))
    }
}

impl Inbound {
    /// Hands over each gRPC message that is whole.
    fn take(&mut self, payload: &[u8], mut each: impl FnMut(&[u8])) -> Result<()> {
        if self.partial.is_empty() {
            let done = messages(payload, &mut each)?;
            self.partial.extend_from_slice(&payload[done..]);
        } else {
            self.partial.extend_from_slice(payload);
            let done = messages(&self.partial, &mut each)?;
            self.partial.drain(..done);
        }
        Ok(())
    }
}

fn messages(bytes: &[u8], each: &mut impl FnMut(&[u8])) -> Result<usize> {
    let mut at = 0;
    while let Some((prefix, rest)) = bytes[at..].split_at_checked(5) {
        ensure!(prefix[0] == 0, "a compressed message, which was not asked for");
        let Some(message) = rest.get(..number(&prefix[1..])? as usize) else { break };
        each(message);
        at += 5 + message.len();
    }
    Ok(at)
}

/// A `SubscribeResponse`.
fn delivery(stream: usize, message: &[u8], sink: &mut impl Sink) {
    for (field, value) in Fields(message) {
        match field {
            1 => sink.event(stream, value),
            2 => sink.ready(stream),
            4 => {
                sink.fault("a gap: the subscriber was too slow, or the window is too large".into())
            }
            6 => sink.fault("the broker sent GoAway".into()),
            // Heartbeat and CaughtUp.
            _ => (),
        }
    }
}

/// A `PublishStreamResponse`.
fn stream_answer(message: &[u8], expected: u64, sink: &mut impl Sink) {
    let mut fields = message;
    let answered = (varint(&mut fields) == Some(0x08)).then(|| varint(&mut fields)).flatten();
    if answered != Some(expected) {
        sink.fault(format!("request {expected} is next, but {answered:?} was answered"));
    }
    for (field, value) in Fields(message) {
        match field {
            2 => sink.answered(),
            3 => {
                let texts = Fields(value).filter(|(field, _)| *field == 2 || *field == 3);
                let texts = texts.map(|(_, text)| String::from_utf8_lossy(text).into_owned());
                sink.fault(format!(
                    "a publish was refused: {}",
                    texts.collect::<Vec<_>>().join(": ")
                ));
            }
            _ => (),
        }
    }
}

/// A message with its gRPC prefix, not compressed.
pub(crate) fn prefixed(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u32).to_be_bytes();
    [&[0], &length[..], message].concat()
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, id: u32, length: usize) {
    out.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&id.to_be_bytes());
}

fn window_update(out: &mut Vec<u8>, id: u32, increment: u32) {
    frame(out, WINDOW_UPDATE, 0, id, 4);
    out.extend_from_slice(&increment.to_be_bytes());
}

fn number(bytes: &[u8]) -> Result<u32> {
    let Some(bytes) = bytes.first_chunk() else { bail!("a frame is too short") };
    Ok(u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::super::tally::tests::Told;
    use super::*;

    fn data(id: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        frame(&mut out, DATA, flags, id, payload.len());
        [out, payload.to_vec()].concat()
    }

    /// Opened on stream 3; two events in one message on stream 1, cut over two frames; a gap on stream 3.
    fn heard() -> Vec<u8> {
        let events = prefixed(b"\x0a\x05first\x0a\x06second");
        let mut settings = Vec::new();
        frame(&mut settings, SETTINGS, 0, 0, 6);
        settings.extend_from_slice(&[0, 4, 0, 1, 0, 0]);
        [
            settings,
            data(3, 0, &prefixed(b"\x12\x00")),
            data(1, 0, &events[..7]),
            data(1, 0, &events[7..]),
            data(3, 0, &prefixed(b"\x22\x00")),
        ]
        .concat()
    }

    #[test]
    fn frames_are_read_whole_however_they_are_cut() {
        let heard = heard();
        for cut in 0..heard.len() {
            let (mut out, mut told) = (Vec::new(), Told::default());
            let mut http2 = Http2::new("h", Calls::subscriptions(10, 2), &mut out);
            out.clear();
            let done = http2.consume(&heard[..cut], &mut out, &mut told).unwrap();
            http2.consume(&heard[done..], &mut out, &mut told).unwrap();
            assert_eq!(told.0[..3], ["ready 11", "10: first", "10: second"], "cut at {cut}");
            assert!(told.0[3].starts_with("fault: a gap"), "{:?}", told.0);
            assert_eq!(out, [0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0], "settings are acknowledged");
        }
    }

    #[test]
    fn the_server_is_told_to_go_on_before_it_must_wait() {
        let (mut out, mut told) = (Vec::new(), Told::default());
        let mut http2 = Http2::new("h", Calls::subscriptions(0, 1), &mut out);
        out.clear();
        let message = prefixed(&[&b"\x0a\x80\x7f"[..], &[b'x'; 16_256]].concat());
        for _ in 0..STREAM_WINDOW / 2 / 16_264 + 1 {
            http2.consume(&data(1, 0, &message), &mut out, &mut told).unwrap();
        }
        assert_eq!(out[3..9], [WINDOW_UPDATE, 0, 0, 0, 0, 1]);
        assert!(number(&out[9..]).unwrap() >= STREAM_WINDOW / 2);
    }

    #[test]
    fn messages_that_leave_together_share_a_frame_and_long_ones_take_several() {
        let mut out = Vec::new();
        let mut http2 = Http2::new("h", Calls::stream(), &mut out);
        out.clear();
        http2.send(b"one", &mut out);
        http2.send(b"two", &mut out);
        assert_eq!(out, data(1, 0, b"onetwo"));
        http2.close_frame();
        out.clear();
        http2.send(&[b'x'; FRAME_BYTES_MAX + 1], &mut out);
        let expected = [data(1, 0, &[b'x'; FRAME_BYTES_MAX]), data(1, 0, b"x")].concat();
        assert_eq!(out, expected);
        assert!(!http2.may_send(INITIAL_WINDOW as usize), "that was sent already, in part");
    }

    #[test]
    fn answers_of_a_stream_are_expected_in_order() {
        let mut told = Told::default();
        let answer = |id: u64| {
            let mut message = vec![0x08];
            super::super::payload::put_varint(&mut message, id);
            [message, vec![0x12, 0]].concat()
        };
        stream_answer(&answer(5), 5, &mut told);
        assert_eq!(told.0, ["answered"]);
        stream_answer(&answer(7), 6, &mut told);
        assert!(told.0[1].starts_with("fault: request 6 is next"), "{:?}", told.0);
        let refused = [&answer(7)[..2], b"\x1a\x08\x12\x02NO\x1a\x02no"].concat();
        stream_answer(&refused, 7, &mut told);
        assert_eq!(told.0.last().unwrap(), "fault: a publish was refused: NO: no");
    }

    #[test]
    fn a_unary_call_is_answered_by_a_message_and_refused_without_one() {
        let (mut out, mut told) = (Vec::new(), Told::default());
        let mut http2 = Http2::new("h", Calls::unary(2), &mut out);
        for _ in 0..2 {
            http2.call_in_slot(b"request", &mut out);
        }
        assert_eq!(http2.free_slot(), None);
        let mut answers = data(3, 0, b"\0\0\0\0\0");
        for id in [3, 1] {
            frame(&mut answers, HEADERS, END_STREAM | END_HEADERS, id, 0);
        }
        http2.consume(&answers, &mut out, &mut told).unwrap();
        assert_eq!(told.0, ["answered", "fault: a call was refused"]);
        assert!(http2.free_slot().is_some());
    }
}
