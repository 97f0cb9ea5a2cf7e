//! How topics are kept, by what differs from the defaults.

use tidings::backend::{Keeping, Mode, Retention, TopicSettings};

/// A live topic that keeps so many events.
pub(crate) fn keeping_events(max_events: u64) -> TopicSettings {
    let retention = Retention { max_events: Some(max_events), ..Retention::of(Mode::Live) };
    kept(Keeping { mode: Mode::Live, retention })
}

/// A live topic that keeps so many bytes.
pub(crate) fn keeping_bytes(max_bytes: u64) -> TopicSettings {
    let retention = Retention { max_bytes: Some(max_bytes), ..Retention::of(Mode::Live) };
    kept(Keeping { mode: Mode::Live, retention })
}

/// A durable topic that keeps everything.
pub(crate) fn durable() -> TopicSettings {
    durable_with(Retention { max_events: None, max_bytes: None, max_age: None })
}

pub(crate) fn durable_with(retention: Retention) -> TopicSettings {
    kept(Keeping { mode: Mode::Durable, retention })
}

fn kept(keeping: Keeping) -> TopicSettings {
    TopicSettings { keeping, ..TopicSettings::default() }
}
