//! The door of a topic that asks something of its events: they are what their type says, or do not get
//! in, or get in with a mark.

use std::{cell::RefCell, sync::Arc};

use super::Shared;
use crate::{
    backend::{BackendError, Enforcement, TopicSettings},
    event::{
        Defaults, Event, Incoming, Refused, UNTYPED, Violation, admit_with_id, is_protobuf,
        json_text,
    },
    hub::Misfits,
    limits::RULED_EVENT_BYTES,
    proto::{self, event::Payload},
    schema::{
        Registry, Schemas,
        enforce::{self, judge},
    },
    topic::Topic,
};

/// Not let in.
pub(super) enum NotIn {
    Refused(Refused),
    /// It is none of its type.
    Unfit(Vec<Violation>),
}

pub(super) struct Gate<'a> {
    settings: &'a TopicSettings,
    registry: &'a Registry,
    /// Of a topic that asks something.
    schemas: Option<Arc<Schemas>>,
    marked: RefCell<Marked>,
}

/// Events that got a mark, and the last reason.
#[derive(Default)]
struct Marked {
    count: u64,
    reason: String,
}

/// What was found out before the door completes an event.
#[derive(Default)]
struct Prepared {
    /// What its publisher said the data in.
    data: Option<&'static str>,
    /// The media type that it would have elsewhere.
    elsewhere: Option<&'static str>,
    wrong: Option<Vec<Violation>>,
}

impl<'a> Gate<'a> {
    pub(super) fn of(
        shared: &'a Shared,
        settings: &'a TopicSettings,
    ) -> Result<Gate<'a>, BackendError> {
        let registry = &*shared.registry;
        let is_asked = enforce::is_asked(&settings.schema);
        if is_asked && !shared.schemas.is_known() {
            let cause = "which types are registered has not been read yet: try again".to_owned();
            return Err(BackendError::Unavailable { cause });
        }
        let schemas = is_asked.then(|| registry.snapshot());
        Ok(Gate { settings, registry, schemas, marked: RefCell::default() })
    }

    pub(super) fn admit<'d>(
        &self,
        event: Incoming,
        defaults: impl FnOnce() -> Defaults<'d>,
    ) -> Result<(String, Event), NotIn> {
        let event = match event {
            Incoming::Message(message) if is_to_be_bytes(&message) => {
                let snapshot = || self.registry.snapshot();
                let schemas = self.schemas.clone().unwrap_or_else(snapshot);
                Incoming::Message(self.transcoded(message, &schemas).map_err(NotIn::Unfit)?)
            }
            event @ (Incoming::Message(_) | Incoming::Complete(_)) => event,
        };
        match &self.schemas {
            None => admit_with_id(event, defaults).map_err(NotIn::Refused),
            Some(schemas) => self.admit_checked(schemas, event, defaults),
        }
    }

    fn admit_checked<'d>(
        &self,
        schemas: &Schemas,
        mut event: Incoming,
        defaults: impl FnOnce() -> Defaults<'d>,
    ) -> Result<(String, Event), NotIn> {
        let prepared = match &mut event {
            Incoming::Complete(_) => Prepared::default(),
            Incoming::Message(message) => self.prepare(schemas, message),
        };
        let (id, event) = admit_with_id(event, defaults).map_err(NotIn::Refused)?;
        let typed = event.typed();
        let (is_marked, place) = (typed.is_marked, typed.place_for_schema());
        let judged = match prepared.wrong {
            Some(wrong) => Err(wrong),
            None => judge(&self.settings.schema, schemas, &typed, prepared.data),
        };
        let event = match judged {
            Ok(version) => {
                let event = event.following(place, version.uri());
                if is_marked { event.marked(None, None) } else { event }
            }
            Err(wrong) if self.settings.schema.enforcement == Enforcement::Warn => {
                let reason = enforce::reason(&wrong);
                let event = event.marked(Some(&reason), prepared.elsewhere);
                let mut marked = self.marked.borrow_mut();
                *marked = Marked { count: marked.count + 1, reason };
                event
            }
            Err(wrong) => return Err(NotIn::Unfit(wrong)),
        };
        Ok((id, event))
    }

    /// Here data without a media type is a message's bytes, text is its JSON, and `json` becomes bytes.
    fn prepare(&self, schemas: &Schemas, message: &mut Box<proto::Event>) -> Prepared {
        let says_none = message.data_content_type.is_empty();
        let mut prepared = Prepared::default();
        let media_type = match &message.payload {
            Some(Payload::Data(_)) => {
                prepared.elsewhere = Some("application/octet-stream");
                "application/protobuf"
            }
            Some(Payload::Text(_)) => {
                prepared.elsewhere = Some("text/plain");
                "application/json"
            }
            Some(Payload::Json(_)) => {
                prepared.data = Some("json");
                if says_none {
                    match self.transcoded(message.clone(), schemas) {
                        Ok(transcoded) => *message = transcoded,
                        Err(wrong) => prepared.wrong = Some(wrong),
                    }
                }
                return prepared;
            }
            Some(Payload::Proto(_)) => {
                prepared.data = Some("proto");
                return prepared;
            }
            None => return prepared,
        };
        if says_none {
            media_type.clone_into(&mut message.data_content_type);
        } else {
            prepared.elsewhere = None;
        }
        prepared
    }

    /// With its JSON as the bytes of its type.
    fn transcoded(
        &self,
        mut message: Box<proto::Event>,
        schemas: &Schemas,
    ) -> Result<Box<proto::Event>, Vec<Violation>> {
        let Some(Payload::Json(value)) = &message.payload else { return Ok(message) };
        let json = json_text(value).map_err(|why| {
            vec![Violation { field: "json".to_owned(), description: why.to_owned() }]
        })?;
        let name = match message.r#type.as_str() {
            "" => self.settings.default_type.as_deref().unwrap_or(UNTYPED),
            name => name,
        };
        let (bytes, version) = enforce::transcode(schemas, name, &json)?;
        if message.data_schema.is_empty() {
            version.uri().clone_into(&mut message.data_schema);
        }
        if message.data_content_type.is_empty() {
            "application/protobuf".clone_into(&mut message.data_content_type);
        }
        message.payload = Some(Payload::Data(bytes.into()));
        Ok(message)
    }

    /// What was let in is going to be stored.
    pub(super) fn count(self, misfits: &Misfits, topic: &Topic) {
        let Marked { count, reason } = self.marked.into_inner();
        if count > 0 {
            misfits.marked(topic, count, &reason);
        }
    }
}

/// JSON of which its publisher says that it is to be protobuf.
fn is_to_be_bytes(message: &proto::Event) -> bool {
    matches!(message.payload, Some(Payload::Json(_))) && is_protobuf(&message.data_content_type)
}

/// Whether it takes long to check these events.
pub(super) fn takes_long(
    registry: &Registry,
    settings: &TopicSettings,
    events: &[Incoming],
) -> bool {
    if !enforce::is_asked(&settings.schema) {
        return false;
    }
    let schemas = registry.snapshot();
    // Of most types none ever does: otherwise each event is read for it.
    if !schemas.may_take_long() {
        return false;
    }
    let default_type = settings.default_type.as_deref().unwrap_or(UNTYPED);
    let mut ruled_bytes = 0;
    events.iter().any(|event| {
        let Ok(version) = schemas.get(event.type_or(default_type), 0) else { return false };
        if version.has_rules() {
            ruled_bytes += event.bytes() + RULED_EVENT_BYTES;
        }
        version.takes_long(ruled_bytes)
    })
}
