//! An event off the wire: refused, or readable in each of its forms.
#![no_main]

use std::time::UNIX_EPOCH;

use libfuzzer_sys::fuzz_target;
use prost::Message;
use tidings::{
    event::{Complete, Defaults, Incoming, admit, admit_with_id},
    proto, view,
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(event) = proto::Event::decode(bytes) else { return };
    let defaults = Defaults { source: "/fuzz", event_type: None, now: UNIX_EPOCH };
    let mut sent = Vec::new();
    prost::encoding::encode_varint(bytes.len() as u64, &mut sent);
    sent.extend_from_slice(bytes);
    if let Some(complete) = Complete::take(&mut &sent[..]) {
        let admitted = admit(event.clone(), &defaults).expect("whichever way it goes");
        let as_it_is = admit_with_id(Incoming::Complete(complete), || defaults.clone());
        let as_it_is = as_it_is.expect("it passed");
        assert_eq!(as_it_is, (event.id.clone(), admitted));
        assert_eq!(as_it_is.1.encoded(), bytes);
    }
    match admit(event, &defaults) {
        Ok(event) => {
            let again = proto::Event::decode(event.encoded().clone()).expect("readable");
            assert_eq!(again, event.message());
            // Not byte for byte: extensions stand in no order.
            let twice = admit(again.clone(), &defaults).expect("admitted twice");
            assert_eq!(twice.message(), event.message());
            for shown in [view::json(again.clone()), view::metadata(again)].into_iter().flatten() {
                let frame = proto::SubscribeResponse { events: vec![shown], control: None };
                let bytes = frame.encode_to_vec();
                proto::SubscribeResponse::decode(&bytes[..]).expect("clients read it");
            }
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error}"),
    }
});
