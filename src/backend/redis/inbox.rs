//! What the listening connection hands over: bounded in number and in bytes, taken in order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use redis::{PushInfo, PushKind};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tracing::{debug, warn};

use super::{
    connection::{Link, bytes_of},
    session::LIFE_SIGN,
};

/// Pushes that may wait while topics are read.
const PUSHES_MAX: usize = 16 << 10;
const PUSHES_BYTES_MAX: usize = 64 << 20;
/// Without our own word coming back for this long, we listen to the wrong Redis.
const PROBE_SILENCE: Duration = Duration::from_millis(2500);

/// One message that came on the listening connection.
#[derive(Debug)]
pub(super) struct Push {
    pub(super) channel: Bytes,
    pub(super) payload: Bytes,
    /// Pushes right before it did not fit.
    pub(super) after_loss: bool,
}

#[derive(Debug)]
pub(super) struct Inbox {
    pushes: mpsc::Receiver<Push>,
    door: Arc<Door>,
}

/// The connection's side of the inbox.
#[derive(Debug)]
pub(super) struct Door {
    bytes: AtomicUsize,
    overflowed: AtomicBool,
    /// The last push did not fit.
    losing: AtomicBool,
    probe_channel: String,
    probe_heard: Mutex<Instant>,
}

impl Inbox {
    /// The inbox, and what the connection's task is to do with each push. It never waits.
    pub(super) fn new(probe_channel: String) -> (Inbox, impl Fn(PushInfo) + Clone + Send + Sync) {
        let (sender, pushes) = mpsc::channel(PUSHES_MAX);
        let door = Arc::new(Door {
            bytes: AtomicUsize::new(0),
            overflowed: AtomicBool::new(false),
            losing: AtomicBool::new(false),
            probe_channel,
            probe_heard: Mutex::new(Instant::now()),
        });
        let on_push = {
            let door = door.clone();
            move |push: PushInfo| door.accept(push, &sender)
        };
        (Inbox { pushes, door }, on_push)
    }

    /// The next push, in order; none when the connection has ended. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Push> {
        let push = self.pushes.recv().await?;
        Some(self.taken(push))
    }

    /// The next push, if one is there.
    pub(super) fn waiting(&mut self) -> Option<Push> {
        let push = self.pushes.try_recv().ok()?;
        Some(self.taken(push))
    }

    fn taken(&self, push: Push) -> Push {
        self.door.bytes.fetch_sub(push.weight(), Ordering::Relaxed);
        push
    }

    /// Whether pushes were left out since the last question.
    pub(super) fn has_overflowed(&self) -> bool {
        self.door.overflowed.swap(false, Ordering::AcqRel)
    }

    /// The same, without an answer that counts as one.
    pub(super) fn is_overflowing(&self) -> bool {
        self.door.overflowed.load(Ordering::Acquire)
    }

    /// How many pushes wait.
    pub(super) fn len(&self) -> usize {
        self.pushes.len()
    }

    pub(super) fn is_probe(&self, channel: &str) -> bool {
        channel == self.door.probe_channel
    }

    pub(super) fn door(&self) -> Arc<Door> {
        self.door.clone()
    }
}

impl Door {
    /// Called on the connection's task. What does not fit is read again later.
    fn accept(&self, push: PushInfo, sender: &mpsc::Sender<Push>) {
        if push.kind != PushKind::Message {
            return;
        }
        let mut parts = push.data.into_iter().map(bytes_of);
        let (Some(Some(channel)), Some(Some(payload))) = (parts.next(), parts.next()) else {
            return;
        };
        if channel == self.probe_channel.as_bytes() {
            *self.probe_heard.lock() = Instant::now();
        }
        let after_loss = self.losing.load(Ordering::Relaxed);
        let push = Push { channel, payload, after_loss };
        let weight = push.weight();
        let waiting = self.bytes.fetch_add(weight, Ordering::Relaxed);
        let lost = waiting + weight > PUSHES_BYTES_MAX || sender.try_send(push).is_err();
        if lost {
            self.bytes.fetch_sub(weight, Ordering::Relaxed);
            self.overflowed.store(true, Ordering::Release);
        }
        self.losing.store(lost, Ordering::Relaxed);
    }
}

impl Push {
    fn weight(&self) -> usize {
        self.channel.len() + self.payload.len() + 64
    }
}

/// Closes the connection when it does not answer, or when our own word does not come back.
pub(super) async fn prove_life(link: Arc<Link>, door: Arc<Door>) {
    for token in 0.. {
        sleep(LIFE_SIGN).await;
        if let Err(error) = link.echo(token).await {
            debug!(%error, "the listening connection does not answer");
            return link.close();
        }
        let silent = door.probe_heard.lock().elapsed();
        if silent > PROBE_SILENCE {
            warn!(?silent, "our own word does not come back: listening to the wrong redis");
            return link.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    fn message(payload: &str) -> PushInfo {
        let data = ["orders", payload].map(|text| Value::BulkString(text.into()));
        PushInfo { kind: PushKind::Message, data: data.into() }
    }

    #[test]
    fn what_comes_right_after_a_loss_says_so() {
        let (mut inbox, on_push) = Inbox::new("probe".into());
        for n in 0..PUSHES_MAX + 5 {
            on_push(message(&n.to_string()));
        }
        assert!(inbox.has_overflowed());
        assert!(!inbox.waiting().expect("full").after_loss);
        assert!(!inbox.waiting().expect("full").after_loss);
        for late in ["first", "second"] {
            on_push(message(late));
        }
        assert!(!inbox.has_overflowed());
        let rest: Vec<Push> = std::iter::from_fn(|| inbox.waiting()).collect();
        let after_loss: Vec<&[u8]> =
            rest.iter().filter(|push| push.after_loss).map(|push| &push.payload[..]).collect();
        assert_eq!(after_loss, [b"first"]);
        assert_eq!(rest.last().expect("some").payload, "second");
    }
}
