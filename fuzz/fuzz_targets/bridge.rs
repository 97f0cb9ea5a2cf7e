//! What raw Redis clients publish: an event, which says the same when it comes back as JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|payload: &[u8]| tidings::backend::redis::fuzzing::bridge(payload));
