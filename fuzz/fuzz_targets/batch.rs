//! What anybody may publish on a topic's channel: a batch whose every event a client can read, or
//! nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|payload: &[u8]| tidings::backend::redis::fuzzing::heard(payload));
