//! How frames are compressed, for subscribers on whose lines that pays.

use std::{
    fmt,
    io::{self, Cursor, Write as _},
    str::FromStr,
};

use flate2::write::GzEncoder;

use crate::{frame::Frame, limits::COMPRESSED_BYTES_MIN};

/// The fastest levels: a frame holds up the thread that needs it first.
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    Gzip,
    Zstd,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no compression: write gzip or zstd")]
pub struct UnknownCompression(String);

impl Compression {
    /// As gRPC calls it.
    pub fn name(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }

    /// The frame with its message compressed; as it is where that would not make it smaller.
    pub fn of(self, frame: &Frame) -> Frame {
        let message = frame.message();
        if message.len() < COMPRESSED_BYTES_MIN {
            return frame.clone();
        }
        let mut room = vec![0; message.len() - 1];
        match self.write(&message, &mut room) {
            Ok(bytes) => Frame::compressed(&room[..bytes]),
            // The room is all that can be missing.
            Err(_) => frame.clone(),
        }
    }

    /// How many bytes were written.
    fn write(self, message: &[u8], room: &mut [u8]) -> io::Result<usize> {
        match self {
            Compression::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                let mut gzip = GzEncoder::new(Cursor::new(room), level);
                gzip.write_all(message)?;
                Ok(gzip.finish()?.position() as usize)
            }
            Compression::Zstd => zstd::bulk::compress_to_buffer(message, room, ZSTD_LEVEL),
        }
    }
}

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(text: &str) -> Result<Compression, UnknownCompression> {
        match text {
            "gzip" => Ok(Compression::Gzip),
            "zstd" => Ok(Compression::Zstd),
            _ => Err(UnknownCompression(text.chars().take(100).collect())),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::frame::FrameWriter;

    const ALL: [Compression; 2] = [Compression::Gzip, Compression::Zstd];

    fn frame(message: &[u8]) -> Frame {
        let mut writer = FrameWriter::with_capacity(message.len());
        writer.out().extend_from_slice(message);
        writer.finish()
    }

    fn decompressed(compression: Compression, message: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match compression {
            Compression::Gzip => flate2::read::GzDecoder::new(message).read_to_end(&mut out),
            Compression::Zstd => {
                zstd::Decoder::new(message).and_then(|mut z| z.read_to_end(&mut out))
            }
        }
        .expect("what was compressed");
        out
    }

    #[test]
    fn what_is_compressed_is_smaller_says_so_and_comes_back() {
        let text = r#"{"order":"1","total":12.50,"currency":"EUR"}"#.repeat(100);
        for compression in ALL {
            let compressed = compression.of(&frame(text.as_bytes()));
            let message = compressed.message();
            assert!(message.len() < text.len() / 4, "{compression}: {} bytes", message.len());
            assert_eq!(decompressed(compression, &message), text.as_bytes());
            assert!(compressed.is_compressed());
            let bytes = compressed.into_bytes();
            assert_eq!(bytes[0], 1);
            assert_eq!(bytes[1..5], u32::try_from(message.len()).unwrap().to_be_bytes());
        }
    }

    #[test]
    fn what_is_small_or_would_not_shrink_stays_as_it_is() {
        let mut random = fastrand::Rng::with_seed(7);
        let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(10_000).collect();
        for compression in ALL {
            for message in [&noise[..], &noise[..600], &[0; COMPRESSED_BYTES_MIN - 1], b""] {
                let as_it_was = frame(message);
                assert_eq!(compression.of(&as_it_was), as_it_was, "{compression}");
            }
            assert!(compression.of(&frame(&[0; COMPRESSED_BYTES_MIN])).is_compressed());
        }
    }
}
