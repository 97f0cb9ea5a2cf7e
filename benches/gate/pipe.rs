//! The smallest client of gRPC over HTTP/2 that a server answers: it sends bytes that are ready, and
//! of what comes it reads the heads of frames and messages. So what is counted is the server's.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

/// Its end of a connection. Calls share it.
pub(crate) struct Client {
    pipe: DuplexStream,
    /// What came and was not read yet.
    inbox: Vec<u8>,
    read: usize,
    calls: u32,
    /// Messages that came and were not asked for yet.
    messages: u64,
    /// By call: where in a message its bytes are.
    places: Vec<Place>,
}

/// Of one call.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// Of a message's five first bytes, those that came.
    head: [u8; 5],
    head_bytes: usize,
    missing: usize,
    ended: bool,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_BYTES: usize = 9;
const WINDOW_MAX: u32 = (1 << 31) - 1;
const WINDOW_DEFAULT: u32 = (1 << 16) - 1;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

impl Client {
    pub(crate) async fn start(mut pipe: DuplexStream) -> io::Result<Client> {
        let mut bytes = PREFACE.to_vec();
        // SETTINGS_INITIAL_WINDOW_SIZE: the server never has to wait for us.
        let window = [&[0, 4][..], &WINDOW_MAX.to_be_bytes()].concat();
        put_frame(&mut bytes, SETTINGS, 0, 0, &window);
        let more = (WINDOW_MAX - WINDOW_DEFAULT).to_be_bytes();
        put_frame(&mut bytes, WINDOW_UPDATE, 0, 0, &more);
        put_frame(&mut bytes, SETTINGS, ACK, 0, &[]);
        pipe.write_all(&bytes).await?;
        let inbox = Vec::with_capacity(1 << 16);
        Ok(Client { pipe, inbox, read: 0, calls: 0, messages: 0, places: Vec::new() })
    }

    /// A call of one message.
    pub(crate) async fn call(&mut self, path: &str, message: &[u8]) -> io::Result<u32> {
        let call = self.calls;
        let mut bytes = self.opening(path);
        put_frame(&mut bytes, DATA, END_STREAM, stream(call), &framed(message));
        self.pipe.write_all(&bytes).await?;
        Ok(call)
    }

    /// Begins a call of any number of messages.
    pub(crate) async fn open(&mut self, path: &str) -> io::Result<u32> {
        let call = self.calls;
        let bytes = self.opening(path);
        self.pipe.write_all(&bytes).await?;
        Ok(call)
    }

    /// Messages of a call that is open, each [`framed`].
    pub(crate) async fn send(&mut self, call: u32, messages: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + messages.len());
        put_frame(&mut bytes, DATA, 0, stream(call), messages);
        self.pipe.write_all(&bytes).await
    }

    fn opening(&mut self, path: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        put_frame(&mut bytes, HEADERS, END_HEADERS, stream(self.calls), &headers(path));
        self.calls += 1;
        self.places.push(Place::default());
        bytes
    }

    /// Until so many messages came, of all calls together; one more would be wrong.
    pub(crate) async fn messages(&mut self, count: u64) -> io::Result<()> {
        while self.messages < count {
            self.frame().await?;
        }
        self.messages -= count;
        if self.messages > 0 { Err(wrong("a message that nobody waits for")) } else { Ok(()) }
    }

    pub(crate) async fn end_of(&mut self, call: u32) -> io::Result<()> {
        while !self.places[call as usize].ended {
            self.frame().await?;
        }
        Ok(())
    }

    /// Takes the next frame.
    async fn frame(&mut self) -> io::Result<()> {
        while self.inbox.len() - self.read < self.next_frame_bytes() {
            self.inbox.drain(..self.read);
            self.read = 0;
            if self.pipe.read_buf(&mut self.inbox).await? == 0 {
                return Err(wrong("the end of the connection"));
            }
        }
        let frame = self.read..self.read + self.next_frame_bytes();
        self.read = frame.end;
        let (head, payload) = self.inbox[frame].split_at(HEAD_BYTES);
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match kind {
            RST_STREAM | GOAWAY => Err(wrong("a reset")),
            DATA | HEADERS => {
                let call = (stream - 1) / 2;
                let place = self.places.get_mut(call as usize).ok_or_else(|| wrong("a stream"))?;
                if kind == DATA {
                    self.messages += place.pass(payload);
                }
                place.ended |= flags & END_STREAM != 0;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Its head, until that came.
    fn next_frame_bytes(&self) -> usize {
        match self.inbox.get(self.read..self.read + 3) {
            Some(length) => {
                HEAD_BYTES + u32::from_be_bytes([0, length[0], length[1], length[2]]) as usize
            }
            None => HEAD_BYTES,
        }
    }
}

impl Place {
    /// Goes on over `bytes`; how many messages ended in them.
    fn pass(&mut self, mut bytes: &[u8]) -> u64 {
        let mut messages = 0;
        while !bytes.is_empty() {
            if self.head_bytes < self.head.len() {
                let part = bytes.len().min(self.head.len() - self.head_bytes);
                self.head[self.head_bytes..][..part].copy_from_slice(&bytes[..part]);
                self.head_bytes += part;
                bytes = &bytes[part..];
                let [_, length @ ..] = self.head;
                self.missing = u32::from_be_bytes(length) as usize;
            }
            let part = bytes.len().min(self.missing);
            self.missing -= part;
            bytes = &bytes[part..];
            if self.head_bytes == self.head.len() && self.missing == 0 {
                self.head_bytes = 0;
                messages += 1;
            }
        }
        messages
    }
}

/// The client's calls have the odd streams.
fn stream(call: u32) -> u32 {
    2 * call + 1
}

fn put_frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    bytes.extend(length);
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
}

/// As gRPC frames a message.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat()
}

/// In HPACK, with nothing that later calls would have to know.
fn headers(path: &str) -> Vec<u8> {
    // POST and http are in the table of every connection; the others give the number of the name there.
    let mut headers = vec![0x83, 0x86];
    let text = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
    for (name, value) in [
        (&[4][..], path),
        (&[1], "gate"),
        (&[0x0f, 16], "application/grpc"),
        (&text("te")[..], "trailers"),
    ] {
        if value == "trailers" {
            headers.push(0);
        }
        headers.extend(name);
        headers.extend(text(value));
    }
    headers
}

fn wrong(what: &str) -> io::Error {
    io::Error::other(format!("the server sent {what}"))
}
