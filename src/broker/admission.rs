//! Whether what is published may be stored: all events of a request, or none. Where that takes long it is
//! found out on a thread that serves nobody.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use futures_util::{FutureExt, future::BoxFuture};

use super::{
    Publish, PublishError, Published, Receipt, Shared,
    enforce::{Gate, NotIn, takes_long},
};
use crate::{
    backend::TopicSettings,
    blocking,
    event::{Defaults, Event, Refused},
    limits::{PUBLISH_VIOLATIONS_MAX, REQUEST_BYTES_MAX, REQUEST_EVENTS_MAX},
    topic::InvalidTopic,
};

/// What [`admit_all`] says, and the events that passed.
type Admitted = (Result<Published, PublishError>, Vec<Event>);

/// [`admit_all`], elsewhere.
pub(super) struct Admission(BoxFuture<'static, Admitted>);

impl Admission {
    /// Gives the request back where it is to be admitted at once.
    pub(super) fn beside(
        shared: &Arc<Shared>,
        request: Publish,
        settings: &Arc<TopicSettings>,
        source: &str,
    ) -> Result<Admission, Publish> {
        if !takes_long(&shared.registry, settings, &request.events) {
            return Err(request);
        }
        let (shared, settings, source) = (shared.clone(), settings.clone(), source.to_owned());
        let admission = async move {
            let turn = shared.admitting.clone().acquire_owned().await.expect("it is never closed");
            let admit = move || {
                let (_turn, mut events) = (turn, Vec::new());
                let admitted = admit_all(&shared, request, &settings, &source, &mut events);
                (admitted, events)
            };
            blocking::run(admit).await
        };
        Ok(Admission(admission.boxed()))
    }
}

impl Future for Admission {
    type Output = Admitted;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Admitted> {
        self.0.poll_unpin(cx)
    }
}

/// Every event passes the door, or none: violations are told at once, up to a bound. Those that passed go to the
/// end of `out`; where they go from there is not known yet.
pub(super) fn admit_all(
    shared: &Shared,
    request: Publish,
    settings: &TopicSettings,
    source: &str,
    out: &mut Vec<Event>,
) -> Result<Published, PublishError> {
    let Publish { topic, events, validate_only, expected_last: _ } = request;
    if topic.is_reserved() {
        return Err(InvalidTopic::reserved(topic.as_str()).into());
    }
    if events.is_empty() {
        return Err(PublishError::Empty);
    }
    if events.len() > REQUEST_EVENTS_MAX {
        let count = events.len();
        return Err(PublishError::TooManyEvents { count, limit: REQUEST_EVENTS_MAX });
    }
    let event_type = settings.default_type.as_deref();
    let gate = Gate::of(shared, settings)?;
    // Asked for once, where an event needs it at all.
    let mut now = None;
    let before = out.len();
    let mut receipts = Vec::with_capacity(events.len());
    let (mut violations, mut are_unfit) = (Vec::new(), true);
    let mut too_large = None;
    for (index, event) in events.into_iter().enumerate() {
        let defaults = || {
            let now = *now.get_or_insert_with(SystemTime::now);
            Defaults { source, event_type, now }
        };
        // An id of ours never comes again.
        let may_come_again = !settings.dedupe_window.is_zero() && event.has_id();
        match gate.admit(event, defaults) {
            Ok((id, mut event)) => {
                if may_come_again {
                    event.known_by(source, &id);
                }
                receipts.push(Receipt { id, position: None, duplicate: false });
                out.push(event);
            }
            Err(NotIn::Unfit(found)) => {
                violations.extend(found.into_iter().map(|violation| (index, violation)));
            }
            Err(NotIn::Refused(Refused::Invalid { violations: found })) => {
                are_unfit = false;
                violations.extend(found.into_iter().map(|violation| (index, violation)));
            }
            Err(NotIn::Refused(Refused::TooLarge { bytes, limit })) => {
                too_large.get_or_insert(PublishError::EventTooLarge { index, bytes, limit });
            }
        }
        if violations.len() >= PUBLISH_VIOLATIONS_MAX {
            break;
        }
    }
    let bytes = out[before..].iter().map(|event| event.encoded().len()).sum();
    let error = if !violations.is_empty() {
        match are_unfit {
            true => PublishError::Unfit { violations },
            false => PublishError::Invalid { violations },
        }
    } else if let Some(error) = too_large {
        error
    } else if bytes > REQUEST_BYTES_MAX {
        PublishError::TooManyBytes { bytes, limit: REQUEST_BYTES_MAX }
    } else {
        if !validate_only {
            gate.count(shared.hub.misfits(), &topic);
        }
        return Ok(Published { receipts, durability: None });
    };
    out.truncate(before);
    Err(error)
}
