//! The library that evaluates rules. Each of its validators brings the descriptors of all rules, which
//! take more memory than most schemas; so versions share one, some at a time.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use prost_protovalidate::{Error, ValidationOption, Validator};
use prost_reflect::DynamicMessage;

/// Versions that share a validator: it goes with the last of them.
const SHARED_BY: usize = 64;
/// Messages that it holds at most, and one version more: it copies its list of them for each new one.
const MESSAGES_MAX: usize = 512;

#[derive(Clone)]
pub(super) struct Library {
    validator: Arc<Validator>,
}

/// The one that is being filled.
struct Filling {
    validator: Weak<Validator>,
    versions: usize,
    messages: usize,
    /// Validators know messages by their names: no two versions may have the same.
    next: u64,
}

static FILLING: Mutex<Filling> =
    Mutex::new(Filling { validator: Weak::new(), versions: 0, messages: 0, next: 0 });

impl Library {
    /// For a version with so many messages that have rules: with what has to stand before the names of
    /// its packages.
    pub(super) fn shared(messages: usize) -> (Library, String) {
        let mut filling = FILLING.lock();
        let kept = filling.validator.upgrade();
        let kept = kept.filter(|_| filling.versions < SHARED_BY && filling.messages < MESSAGES_MAX);
        let validator = kept.unwrap_or_else(|| {
            let validator = Arc::new(Validator::new());
            *filling = Filling {
                validator: Arc::downgrade(&validator),
                versions: 0,
                messages: 0,
                next: filling.next,
            };
            validator
        });
        filling.versions += 1;
        filling.messages += messages;
        filling.next += 1;
        // It is taken out of what errors say, so no package of a schema should have such a part.
        (Library { validator }, format!("_tidings{}", filling.next))
    }

    /// All that the message breaks.
    pub(super) fn validate(&self, message: &DynamicMessage) -> Result<(), Error> {
        self.validator.validate(message)
    }

    /// The first thing that it breaks.
    pub(super) fn validate_until_first(&self, message: &DynamicMessage) -> Result<(), Error> {
        self.validator.validate_with(message, &[ValidationOption::FailFast])
    }
}
