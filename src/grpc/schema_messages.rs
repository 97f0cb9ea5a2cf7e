//! Schemas as they are read and written: the messages of the .proto, but that descriptors stay bytes.
//! The message that prost generates drops the custom options in them. Sources are bytes as well, so that
//! one that is no text is told with its place.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost_types::Timestamp;

use crate::proto;

/// `tidings.v1.Schema`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Schema {
    #[prost(string, tag = "1")]
    pub r#type: String,
    /// An encoded `google.protobuf.FileDescriptorSet`.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub descriptors: Option<Bytes>,
    #[prost(btree_map = "string, bytes", tag = "3")]
    pub sources: BTreeMap<String, Vec<u8>>,
    #[prost(enumeration = "proto::Compatibility", tag = "4")]
    pub compatibility: i32,
    #[prost(uint32, tag = "16")]
    pub version: u32,
    #[prost(string, tag = "17")]
    pub fingerprint: String,
    #[prost(message, optional, tag = "18")]
    pub create_time: Option<Timestamp>,
}

/// `tidings.v1.RegisterSchemaRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RegisterSchemaRequest {
    #[prost(message, optional, tag = "1")]
    pub schema: Option<Schema>,
    #[prost(bool, tag = "2")]
    pub validate_only: bool,
    #[prost(bool, tag = "3")]
    pub force: bool,
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::{FileDescriptorProto, FileDescriptorSet};

    use super::*;

    #[test]
    fn they_are_those_of_the_proto() {
        let file = FileDescriptorProto { name: Some("a.proto".into()), ..Default::default() };
        let set = FileDescriptorSet { file: vec![file] };
        let sources = [("a.proto", "// ü"), ("b.proto", "")];
        let sent = proto::RegisterSchemaRequest {
            schema: Some(proto::Schema {
                r#type: "a.A".into(),
                descriptors: Some(set.clone()),
                sources: sources.map(|(path, text)| (path.into(), text.into())).into(),
                compatibility: proto::Compatibility::Full.into(),
                version: 3,
                fingerprint: "00ff".into(),
                create_time: Some(Timestamp { seconds: 1, nanos: 2 }),
            }),
            validate_only: true,
            force: true,
        };
        let read = RegisterSchemaRequest::decode(&sent.encode_to_vec()[..]).expect("readable");
        let schema = read.schema.clone().expect("a schema");
        assert_eq!(schema.descriptors.as_deref(), Some(&set.encode_to_vec()[..]));
        assert_eq!(schema.sources["a.proto"], "// ü".as_bytes());
        let back = proto::RegisterSchemaRequest::decode(&read.encode_to_vec()[..]);
        assert_eq!(back, Ok(sent));
    }

    #[test]
    fn options_that_nobody_knows_stay() {
        let set = Bytes::from_static(b"\x0a\x0b\x0a\x01a\x42\x06\x8a\xb5\x18\x02hi");
        let schema = Schema { descriptors: Some(set.clone()), ..Default::default() };
        let read = Schema::decode(&schema.encode_to_vec()[..]).expect("readable");
        assert_eq!(read.descriptors, Some(set));
    }
}
