//! A subscribe request, off the wire.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use tidings::{proto::SubscribeRequest, subscription::Subscribe};

fuzz_target!(|bytes: &[u8]| {
    let Ok(request) = SubscribeRequest::decode(bytes) else { return };
    if let Err(error) = Subscribe::try_from(request) {
        assert!(!error.to_string().contains(char::is_control), "{error}");
    }
});
