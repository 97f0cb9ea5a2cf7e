//! A schema of a stranger: as a source, as descriptors, as what a broker stored. Refused, or what it
//! compiles to compiles to itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidings::schema::{CompileError, Compiled};

fuzz_target!(|bytes: &[u8]| {
    taken(Compiled::from_sources("a.A", [("a.proto", bytes)]));
    taken(Compiled::from_descriptors("a.A", bytes));
    // It is as a broker wrote it, or not read.
    drop(Compiled::from_canonical("a.A", bytes.to_vec().into()));
});

fn taken(compiled: Result<Compiled, CompileError>) {
    match compiled {
        Ok(compiled) => {
            let again = Compiled::from_descriptors("a.A", &compiled.descriptors_with_bundled());
            let again = again.expect("it was taken once");
            assert_eq!(again.descriptors(), compiled.descriptors());
            let stored = Compiled::from_canonical("a.A", compiled.descriptors().clone());
            assert_eq!(stored.expect("it is canonical").fingerprint(), compiled.fingerprint());
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error}"),
    }
}
