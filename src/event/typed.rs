//! An event as its type sees it: what it says of its data, and what a broker adds that has checked it.

use bytes::Bytes;

use super::{Event, is_allowed, shape};
use crate::{
    limits::{EVENT_BYTES_MAX, EXTENSIONS_MAX},
    proto,
};

/// The extension of an event that is none of its type, and is delivered all the same: why.
pub const INVALID_MARK: &str = "tidingsinvalid";

/// What an event says of its data.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Typed<'a> {
    pub event_type: &'a str,
    pub content_type: &'a str,
    pub schema: &'a str,
    pub data: Data<'a>,
    /// It has the extension [`INVALID_MARK`].
    pub is_marked: bool,
    /// Where in its bytes a schema would stand.
    pub(crate) schema_at: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Data<'a> {
    #[default]
    None,
    Bytes(&'a [u8]),
    Text(&'a str),
}

impl<'a> Typed<'a> {
    /// Of the bytes of an event that passed the door; none of others.
    pub fn of(event: &'a [u8]) -> Option<Typed<'a>> {
        shape::typed(event)
    }

    /// Where in its bytes a schema would stand; none where one does.
    pub fn place_for_schema(&self) -> Option<usize> {
        self.schema.is_empty().then_some(self.schema_at)
    }
}

impl Event {
    pub fn typed(&self) -> Typed<'_> {
        shape::typed(&self.encoded).expect("it passed the door")
    }

    /// Of bytes that passed a broker's door.
    pub(crate) fn of_a_broker(encoded: Bytes) -> Event {
        Event { encoded, key: None }
    }

    /// With the URI of the schema that it was found to follow, at its place, if the event has room.
    pub fn following(mut self, place: Option<usize>, schema: &str) -> Event {
        if let Some(place) = place
            && self.encoded.len() + schema.len() + 4 <= EVENT_BYTES_MAX
        {
            self.encoded = shape::with_schema(&self.encoded, place, schema).into();
        }
        self
    }

    /// With the reason why it is none of its type, or without one; as it was where there is no room.
    /// `media_type`: its own, where it is another one than it has.
    pub fn marked(mut self, reason: Option<&str>, media_type: Option<&str>) -> Event {
        let mut message = self.message();
        message.extensions.remove(INVALID_MARK);
        if let Some(media_type) = media_type {
            media_type.clone_into(&mut message.data_content_type);
        }
        self.encoded = bytes(&message);
        let Some(reason) = reason.filter(|_| message.extensions.len() < EXTENSIONS_MAX) else {
            return self;
        };
        message.extensions.insert(INVALID_MARK.to_owned(), allowed(reason));
        let marked = bytes(&message);
        if marked.len() <= EVENT_BYTES_MAX {
            self.encoded = marked;
        }
        self
    }
}

fn bytes(event: &proto::Event) -> Bytes {
    prost::Message::encode_to_vec(event).into()
}

fn allowed(text: &str) -> String {
    text.chars().map(|c| if is_allowed(c) { c } else { '?' }).collect()
}

/// RFC 6839, and the JSON format of CloudEvents: `application/json`, `text/json`, and whatever ends in
/// `+json`.
pub fn is_json(media_type: &str) -> bool {
    let essence = essence(media_type);
    let end = essence.len().checked_sub("/json".len()).and_then(|at| essence.get(at..));
    end.is_some_and(|end| ["/json", "+json"].iter().any(|json| end.eq_ignore_ascii_case(json)))
}

pub fn is_protobuf(media_type: &str) -> bool {
    const NAMES: [&str; 3] =
        ["application/protobuf", "application/x-protobuf", "application/vnd.google.protobuf"];
    // As nearly all say it.
    if media_type == NAMES[0] {
        return true;
    }
    let essence = essence(media_type);
    NAMES.iter().any(|name| essence.eq_ignore_ascii_case(name))
}

fn essence(media_type: &str) -> &str {
    media_type.split_once(';').map_or(media_type, |(essence, _)| essence).trim()
}

/// Beginning and end of a text that strangers wrote, without what may not stand in a header.
pub(crate) fn shortened(text: &str, bytes_max: usize) -> String {
    let escape = |text: &str| -> String {
        let escaped = |c: char| match is_allowed(c) {
            true => String::from(c),
            false => c.escape_default().to_string(),
        };
        text.chars().map(escaped).collect()
    };
    let begin = |text: &str| text.floor_char_boundary(bytes_max / 2);
    let end = |text: &str| text.ceil_char_boundary(text.len().saturating_sub(bytes_max / 2));
    if text.len() <= bytes_max {
        let text = escape(text);
        return match text.len() <= bytes_max {
            true => text,
            false => format!("{} … {}", &text[..begin(&text)], &text[end(&text)..]),
        };
    }
    let (first, last) = (escape(&text[..begin(text)]), escape(&text[end(text)..]));
    format!("{} … {}", &first[..begin(&first)], &last[end(&last)..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::{
        event::{Defaults, admit},
        proto::event::Payload,
    };

    fn events() -> impl Strategy<Value = Event> {
        let payload = prop_oneof![
            Just(None),
            ".{0,30}".prop_map(|text| Some(Payload::Text(text))),
            proptest::collection::vec(any::<u8>(), 0..30)
                .prop_map(|data| Some(Payload::Data(data.into()))),
        ];
        let extensions =
            proptest::collection::hash_map("[a-z0-9]{1,9}|tidingsinvalid", "[a-z]{0,9}", 0..4);
        ("[a-z]{0,9}", proptest::option::of("tidings:[a-z]{1,300}"), payload, extensions)
            .prop_filter_map("the door refuses it", |(text, schema, payload, extensions)| {
                let event = proto::Event {
                    subject: text.clone(),
                    key: text,
                    data_schema: schema.unwrap_or_default(),
                    time: Some(prost_types::Timestamp { seconds: -7, nanos: 1 }),
                    extensions,
                    payload,
                    ..Default::default()
                };
                let now = std::time::SystemTime::UNIX_EPOCH;
                admit(event, &Defaults { source: "/a", event_type: Some("a.A"), now }).ok()
            })
    }

    proptest! {
        #[test]
        fn what_an_event_says_of_its_data_is_what_its_message_says(event in events()) {
            let (message, typed) = (event.message(), event.typed());
            prop_assert_eq!(typed.event_type, message.r#type.as_str());
            prop_assert_eq!(typed.content_type, message.data_content_type.as_str());
            prop_assert_eq!(typed.schema, message.data_schema.as_str());
            prop_assert_eq!(typed.is_marked, message.extensions.contains_key(INVALID_MARK));
            let data = match &message.payload {
                Some(Payload::Data(bytes)) => Data::Bytes(bytes),
                Some(Payload::Text(text)) => Data::Text(text),
                _ => Data::None,
            };
            prop_assert_eq!(typed.data, data);
        }

        #[test]
        fn a_schema_is_added_where_none_is_said_and_stands_in_its_place(event in events()) {
            let mut expected = event.message();
            if expected.data_schema.is_empty() {
                expected.data_schema = "tidings:schema/a.A/1".into();
            }
            let place = event.typed().place_for_schema();
            let with = event.following(place, "tidings:schema/a.A/1");
            prop_assert_eq!(with.message(), expected);
            let again = proto::Event::decode(with.encoded().clone()).expect("an event");
            let one = again.extensions.len() < 2;
            prop_assert!(!one || with.encoded() == &again.encode_to_vec());
        }

        #[test]
        fn a_mark_is_set_and_taken_away(event in events(), reason in any::<String>()) {
            let marked = event.clone().marked(Some(&reason), None);
            let said = marked.message().extensions.remove(INVALID_MARK).expect("a mark");
            prop_assert!(said.chars().all(is_allowed));
            let mut without = event.message();
            without.extensions.remove(INVALID_MARK);
            prop_assert_eq!(marked.marked(None, None).message(), without);
        }
    }

    #[test]
    fn an_event_without_room_stays_unmarked() {
        let data = vec![0; EVENT_BYTES_MAX - 100];
        let event =
            proto::Event { payload: Some(Payload::Data(data.into())), ..Default::default() };
        let now = std::time::SystemTime::UNIX_EPOCH;
        let event =
            admit(event, &Defaults { source: "/a", event_type: None, now }).expect("it fits");
        assert_eq!(event.clone().marked(Some(&"x".repeat(200)), None), event);
        let place = event.typed().place_for_schema();
        assert!(place.is_some());
        assert_eq!(event.clone().following(place, &"x".repeat(200)), event);
    }

    #[test]
    fn media_types_are_told_apart_from_their_parameters() {
        for name in
            ["application/json", "Application/JSON ; charset=utf-8", "a/b+JSON", "text/json"]
        {
            assert!(is_json(name) && !is_protobuf(name), "{name}");
        }
        for name in ["application/protobuf", "application/x-protobuf;messageType=a.A"] {
            assert!(is_protobuf(name) && !is_json(name), "{name}");
        }
        assert!(!is_json("json") && !is_json("ö+jsonö") && !is_protobuf(""));
    }

    #[test]
    fn what_strangers_wrote_is_shortened_in_the_middle_and_on_one_line() {
        assert_eq!(shortened("a\nb", 9), "a\\nb");
        assert_eq!(shortened(&"ö".repeat(100), 9), "öö … öö");
        assert!(shortened(&"\0".repeat(9), 9).len() <= "123456789 … ".len());
    }
}
