//! What anybody may write into a topic's stream, read page by page to an end.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidings::backend::redis::fuzzing::entries(bytes));
