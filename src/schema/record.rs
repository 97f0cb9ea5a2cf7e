//! One version of a type as it is stored: the bytes of a `tidings.v1.Schema`.
//!
//! Written and read field by field, because the message as it is generated would drop the options in
//! its descriptors.

use std::collections::BTreeMap;

use prost::{Message, bytes::Bytes};
use prost_types::Timestamp;

use super::{
    Compatibility,
    wire::{Field, Fields, Value, put_bytes},
};
use crate::proto;

// Of `tidings.v1.Schema`.
const DESCRIPTORS: u32 = 2;
const SOURCES: u32 = 3;
// Of an entry of a map.
const KEY: u32 = 1;
const VALUE: u32 = 2;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub type_name: String,
    /// From 1.
    pub version: u32,
    /// What the version after this one must keep.
    pub compatibility: Compatibility,
    pub fingerprint: String,
    pub created: Timestamp,
    /// As they were given, by path; none where descriptors were.
    pub sources: BTreeMap<String, String>,
    /// Canonical: see [`super::Compiled::descriptors`].
    pub descriptors: Bytes,
}

/// Another broker's, or no record at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no record of a schema that this broker can read: {why}")]
pub struct Unreadable {
    pub why: &'static str,
}

impl Record {
    /// Equal records are equal bytes.
    pub fn encode(&self) -> Bytes {
        let said = proto::Schema {
            r#type: self.type_name.clone(),
            compatibility: proto::Compatibility::from(self.compatibility).into(),
            version: self.version,
            fingerprint: self.fingerprint.clone(),
            create_time: Some(self.created),
            ..Default::default()
        };
        let mut record = said.encode_to_vec();
        put_bytes(&mut record, DESCRIPTORS, &self.descriptors);
        for (path, text) in &self.sources {
            let mut entry = Vec::new();
            put_bytes(&mut entry, KEY, path.as_bytes());
            put_bytes(&mut entry, VALUE, text.as_bytes());
            put_bytes(&mut record, SOURCES, &entry);
        }
        record.into()
    }

    pub fn decode(record: &Bytes) -> Result<Record, Unreadable> {
        let unreadable = |why| Unreadable { why };
        let mut rest = Vec::new();
        let mut descriptors = None;
        for field in Fields::of(record) {
            let field = field.map_err(|_| unreadable("it does not decode"))?;
            match field {
                Field { number: DESCRIPTORS, value: Value::Bytes(set), .. } => {
                    descriptors = Some(record.slice_ref(set));
                }
                field => rest.extend_from_slice(field.raw),
            }
        }
        let said =
            proto::Schema::decode(&rest[..]).map_err(|_| unreadable("it does not decode"))?;
        let compatibility = said.compatibility();
        Ok(Record {
            compatibility: Compatibility::try_from(compatibility)
                .map_err(|()| unreadable("its compatibility is not known"))?,
            descriptors: descriptors.ok_or_else(|| unreadable("it has no descriptors"))?,
            created: said.create_time.ok_or_else(|| unreadable("it has no time"))?,
            version: match said.version {
                0 => return Err(unreadable("it has no version")),
                version => version,
            },
            type_name: said.r#type,
            fingerprint: said.fingerprint,
            sources: said.sources.into_iter().collect(),
        })
    }

    /// What it takes, roughly.
    pub fn bytes(&self) -> usize {
        let sources = self.sources.iter().map(|(path, text)| path.len() + text.len());
        self.type_name.len() + self.descriptors.len() + sources.sum::<usize>()
    }
}

impl From<Compatibility> for proto::Compatibility {
    fn from(compatibility: Compatibility) -> proto::Compatibility {
        match compatibility {
            Compatibility::None => proto::Compatibility::None,
            Compatibility::Backward => proto::Compatibility::Backward,
            Compatibility::Forward => proto::Compatibility::Forward,
            Compatibility::Full => proto::Compatibility::Full,
        }
    }
}

/// Not where nothing is said.
impl TryFrom<proto::Compatibility> for Compatibility {
    type Error = ();

    fn try_from(compatibility: proto::Compatibility) -> Result<Compatibility, ()> {
        match compatibility {
            proto::Compatibility::Unspecified => Err(()),
            proto::Compatibility::None => Ok(Compatibility::None),
            proto::Compatibility::Backward => Ok(Compatibility::Backward),
            proto::Compatibility::Forward => Ok(Compatibility::Forward),
            proto::Compatibility::Full => Ok(Compatibility::Full),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            type_name: "a.A".into(),
            version: 3,
            compatibility: Compatibility::Full,
            fingerprint: "00ff".into(),
            created: Timestamp { seconds: 1_700_000_000, nanos: 5 },
            sources: ["c.proto", "a.proto", "b.proto"]
                .map(|path| (path.to_owned(), format!("// {path}")))
                .into(),
            // With an option that no generated message knows: field 50001.
            descriptors: Bytes::from_static(b"\x0a\x0b\x0a\x01a\x42\x06\x8a\xb5\x18\x02hi"),
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written_options_included() {
        let record = record();
        assert_eq!(Record::decode(&record.encode()), Ok(record.clone()));
        assert_eq!(record.encode(), record.encode());
        // Anybody can read it as what it is.
        let schema = proto::Schema::decode(record.encode()).expect("a tidings.v1.Schema");
        assert_eq!((schema.r#type.as_str(), schema.version), ("a.A", 3));
        assert_eq!(schema.descriptors.expect("descriptors").file[0].name(), "a");
        assert_eq!(schema.sources.len(), 3);
    }

    #[test]
    fn what_is_no_record_is_unreadable() {
        let without = |change: fn(&mut proto::Schema)| {
            let mut schema = proto::Schema::decode(record().encode()).expect("a schema");
            change(&mut schema);
            Record::decode(&schema.encode_to_vec().into())
        };
        assert!(without(|_| ()).is_ok());
        assert!(without(|schema| schema.descriptors = None).is_err());
        assert!(without(|schema| schema.version = 0).is_err());
        assert!(without(|schema| schema.create_time = None).is_err());
        assert!(without(|schema| schema.compatibility = 0).is_err());
        assert!(without(|schema| schema.compatibility = 77).is_err());
        for bytes in [&b""[..], b"\xff", b"\x0a\x09a"] {
            assert!(Record::decode(&Bytes::from_static(bytes)).is_err(), "{bytes:?}");
        }
    }
}
