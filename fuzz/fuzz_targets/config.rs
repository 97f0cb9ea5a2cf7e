//! The configuration file.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Err(error) = tidings::config::Config::from_text(text) {
        assert!(!error.to_string().is_empty());
    }
});
