//! Messages of our services, as prost reads and writes them; only what cannot be read is told
//! otherwise. gRPC's usual INTERNAL would blame the broker, and proxies and clients try that again.

use std::marker::PhantomData;

use bytes::Buf;
use prost::Message;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder},
};
use tonic_prost::{ProstCodec, ProstEncoder};

use super::status;

/// Writes `T`, reads `U`.
#[derive(Debug, Clone)]
pub(super) struct Messages<T, U>(PhantomData<(T, U)>);

#[derive(Debug, Clone)]
pub(super) struct Reader<U>(PhantomData<U>);

impl<T, U> Default for Messages<T, U> {
    fn default() -> Messages<T, U> {
        Messages(PhantomData)
    }
}

impl<T, U> Codec for Messages<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = Reader<U>;

    fn encoder(&mut self) -> ProstEncoder<T> {
        ProstCodec::<T, U>::default().encoder()
    }

    fn decoder(&mut self) -> Reader<U> {
        Reader(PhantomData)
    }
}

impl<U: Message + Default> Decoder for Reader<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // Of one piece, and cheaper to walk than what it is taken from.
        let bytes = bytes.copy_to_bytes(bytes.remaining());
        U::decode(bytes).map(Some).map_err(|error| status::unreadable(&error))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}
