//! Topics with types as an AsyncAPI 3.0 document: a channel for each topic, a message for each type.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{grpc::schema_messages::Schema, proto::Topic, schema::sources::types_of as types_in};

/// The types that a topic names.
pub(super) fn types_of(topic: &Topic) -> impl Iterator<Item = &str> {
    let named = topic.schema.iter().flat_map(|policy| &policy.types).map(String::as_str);
    let default = Some(topic.default_type.as_str()).filter(|name| !name.is_empty());
    let mut all: Vec<_> = default.into_iter().chain(named).collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter()
}

/// Topics that name no type are left out. A type that is not registered has no payload that is
/// known.
pub(super) fn document(
    address: &str,
    topics: &[Topic],
    schemas: &BTreeMap<String, Schema>,
) -> Value {
    let (mut channels, mut operations, mut messages) = (Map::new(), Map::new(), Map::new());
    for topic in topics {
        let types: Vec<_> = types_of(topic).collect();
        if types.is_empty() {
            continue;
        }
        let name = &topic.name;
        let component = |of: &&str| ((*of).to_owned(), reference(&["components", "messages", of]));
        let channel: Map<_, _> = types.iter().map(component).collect();
        channels.insert(name.clone(), json!({"address": name, "messages": channel}));
        let of_channel = |of: &&str| reference(&["channels", name, "messages", of]);
        let carried: Vec<_> = types.iter().map(of_channel).collect();
        for action in ["send", "receive"] {
            let operation = json!({
                "action": action,
                "channel": reference(&["channels", name]),
                "messages": carried,
            });
            operations.insert(format!("{action}.{name}"), operation);
        }
        for of in types {
            messages.entry(of).or_insert_with(|| message(of, schemas.get(of)));
        }
    }
    let host = address.split_once("://").map_or(address, |(_, host)| host);
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Topics of Tidings",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "defaultContentType": "application/protobuf",
        "servers": {"tidings": {"host": host, "protocol": "grpc"}},
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    })
}

fn reference(path: &[&str]) -> Value {
    json!({"$ref": format!("#/{}", path.join("/"))})
}

fn message(name: &str, schema: Option<&Schema>) -> Value {
    let mut message = json!({"name": name, "contentType": "application/protobuf"});
    let Some(schema) = schema else { return message };
    message["x-tidings-version"] = schema.version.into();
    message["x-tidings-fingerprint"] = schema.fingerprint.as_str().into();
    // Of one that was registered from descriptors there is no text.
    if let Some((file, text)) = source_of(name, schema) {
        let version = if text.contains("proto3") { 3 } else { 2 };
        message["payload"] = json!({
            "schemaFormat": format!("application/vnd.google.protobuf;version={version}"),
            "schema": text,
        });
        message["x-tidings-file"] = file.into();
    }
    message
}

/// The file that defines it.
fn source_of(name: &str, schema: &Schema) -> Option<(String, String)> {
    // What is registered may be a message inside another one.
    let defines = |one: &crate::schema::sources::TypeSources| {
        let rest = name.strip_prefix(one.type_name.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let file = types_in(&schema.sources).ok()?.into_iter().find(defines)?.file;
    let text = String::from_utf8(schema.sources.get(&file)?.clone()).ok()?;
    Some((file, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::SchemaPolicy;

    #[test]
    fn each_topic_with_types_is_a_channel_and_each_reference_leads_somewhere() {
        let text = "syntax = \"proto3\"; package a; message A {}";
        let schema = Schema {
            r#type: "a.A".into(),
            version: 2,
            sources: [("a.proto".to_owned(), text.as_bytes().to_vec())].into(),
            ..Default::default()
        };
        let types = vec!["a.A".to_owned(), "b.B".to_owned()];
        let topics = [
            Topic { name: "orders.eu".into(), default_type: "a.A".into(), ..Default::default() },
            Topic {
                name: "all".into(),
                schema: Some(SchemaPolicy { types, ..Default::default() }),
                ..Default::default()
            },
            Topic { name: "untyped".into(), ..Default::default() },
        ];
        let schemas = [("a.A".to_owned(), schema)].into();
        let document = document("http://127.0.0.1:7070", &topics, &schemas);
        assert_eq!(document["asyncapi"], "3.0.0");
        assert_eq!(document["servers"]["tidings"]["host"], "127.0.0.1:7070");
        let channels = document["channels"].as_object().expect("channels");
        assert_eq!(channels.keys().collect::<Vec<_>>(), ["orders.eu", "all"]);
        let message = &document["components"]["messages"]["a.A"];
        assert_eq!(message["payload"]["schema"], text);
        let format = "application/vnd.google.protobuf;version=3";
        assert_eq!(message["payload"]["schemaFormat"], format);
        assert!(document["components"]["messages"]["b.B"].get("payload").is_none());
        // What the specification requires of each.
        for operation in document["operations"].as_object().expect("operations").values() {
            assert!(["send", "receive"].contains(&operation["action"].as_str().expect("a text")));
            assert!(operation["channel"]["$ref"].is_string());
        }
        for (name, channel) in channels {
            assert_eq!(channel["address"], name.as_str());
        }
        let mut open = vec![&document];
        let mut references = 0;
        while let Some(value) = open.pop() {
            if let Some(pointer) = value.get("$ref").and_then(Value::as_str) {
                let pointer = pointer.strip_prefix('#').expect("in this document");
                assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
                references += 1;
            }
            open.extend(value.as_object().into_iter().flat_map(Map::values));
            open.extend(value.as_array().into_iter().flatten());
        }
        assert_eq!(references, 3 + 2 * (2 + 3));
    }
}
