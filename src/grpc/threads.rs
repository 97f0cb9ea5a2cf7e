//! The threads that serve connections, each with a runtime of its own.
//!
//! A connection stays on the thread that it was given to, and so does all that happens on it: to
//! wake a stream's task costs no system call, and nothing is shared with other threads but the logs
//! of the hub. Connections are handed out here, to the thread that has the fewest, and not by the
//! kernel (`SO_REUSEPORT` deals them out by a hash of the address: two of few share a thread while
//! another idles).

use std::{io, pin::pin, sync::Arc, thread};

use tokio::{
    runtime::Builder,
    sync::{mpsc, oneshot},
    task::yield_now,
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::AbortOnDropHandle,
};
use tracing::warn;

use super::{
    Services,
    accept::{Accepted, Door},
};
use crate::{hub::Ringer, limits::ACCEPTED_MAX};

/// Serves on threads until it is told to stop. Dropped, it cuts all connections.
pub(super) struct Threads {
    all: Vec<Thread>,
    _cut: DropGuard,
}

struct Thread {
    ended: oneshot::Receiver<Result<(), tonic::transport::Error>>,
}

/// Where the accepted connections of one thread go.
struct Way {
    accepted: mpsc::Sender<Accepted>,
    /// Held once by each connection, and once here.
    load: Arc<()>,
}

/// A thread ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ThreadError {
    #[error("a thread cannot be started: {0}")]
    Start(#[from] io::Error),
    #[error(transparent)]
    Transport(#[from] tonic::transport::Error),
    #[error("a thread panicked: see the log for the bug")]
    Panicked,
}

impl Threads {
    /// Starts `count` threads, and hands out what comes in by the door until `stop`. Then no
    /// connection is taken any more, and those that are open end as their clients let them.
    pub(super) fn start(
        services: &Services,
        door: Door,
        count: usize,
        stop: CancellationToken,
    ) -> Result<Threads, ThreadError> {
        let cut = CancellationToken::new();
        let guard = cut.clone().drop_guard();
        let (mut all, mut ways) = (Vec::new(), Vec::new());
        for number in 0..count {
            let (way, thread) = start(services, number, stop.clone(), cut.clone())?;
            all.push(thread);
            ways.push(way);
        }
        let handing = AbortOnDropHandle::new(tokio::spawn(hand_out(door, ways)));
        tokio::spawn(async move {
            stop.cancelled().await;
            drop(handing);
        });
        Ok(Threads { all, _cut: guard })
    }

    /// Returns when all have ended, or when one has failed. Cancel safe.
    pub(super) async fn ended(&mut self) -> Result<(), ThreadError> {
        while let Some(thread) = self.all.first_mut() {
            (&mut thread.ended).await.map_err(|_| ThreadError::Panicked)??;
            self.all.remove(0);
        }
        Ok(())
    }
}

fn start(
    services: &Services,
    number: usize,
    stop: CancellationToken,
    cut: CancellationToken,
) -> Result<(Way, Thread), ThreadError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (accepted, accepting) = mpsc::channel(ACCEPTED_MAX);
    let (done, ended) = oneshot::channel();
    let ringer = Ringer::default();
    let services = services.with_ringer(ringer.clone());
    thread::Builder::new().name(format!("serve-{number}")).spawn(move || {
        runtime.block_on(async move {
            let _ringing = AbortOnDropHandle::new(tokio::spawn(ringer.run()));
            let connections = ReceiverStream::new(accepting).then(|accepted: Accepted| async {
                // Where many come at once each waits until all else has had its turn: what is live must not
                // stand behind a hundred handshakes.
                yield_now().await;
                accepted
            });
            let connections = connections.filter_map(|accepted| {
                // Here, because from now on it belongs to this thread's runtime.
                accepted.begin().map(Ok).ok()
            });
            let connections = pin!(connections);
            tokio::select! {
                // Whoever is done at the moment of the cut is done.
                biased;
                served = services.serve(connections, stop.cancelled_owned()) => {
                    // Nobody waits for it: then all are being cut.
                    let _ = done.send(served);
                }
                () = cut.cancelled() => (),
            }
        });
    })?;
    Ok((Way { accepted, load: Arc::new(()) }, Thread { ended }))
}

/// Each connection goes to the thread that has the fewest; among equals in turn.
async fn hand_out(mut door: Door, mut ways: Vec<Way>) {
    loop {
        let mut accepted = door.next().await;
        let Some(fewest) = (0..ways.len()).min_by_key(|way| Arc::strong_count(&ways[*way].load))
        else {
            return;
        };
        accepted.counts_for(ways[fewest].load.clone());
        if ways[fewest].accepted.try_send(accepted).is_err() {
            // Its client tries another broker.
            warn!("a connection was closed: its thread does not take up what it is given");
        }
        ways.rotate_left(1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::grpc::accept::Bounds;

    #[tokio::test]
    async fn each_connection_goes_to_the_thread_that_has_the_fewest() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (ways, mut threads): (Vec<_>, Vec<_>) = (0..3)
            .map(|_| {
                let (accepted, accepting) = mpsc::channel(ACCEPTED_MAX);
                (Way { accepted, load: Arc::new(()) }, accepting)
            })
            .unzip();
        let _handing = AbortOnDropHandle::new(tokio::spawn(hand_out(
            Door::new(listener, Bounds::default()),
            ways,
        )));
        let mut clients = Vec::new();
        let mut held: Vec<Vec<Accepted>> = (0..3).map(|_| Vec::new()).collect();
        for _ in 0..9 {
            clients.push(TcpStream::connect(address).await.expect("connected"));
        }
        for (held, thread) in held.iter_mut().zip(&mut threads) {
            for _ in 0..3 {
                held.push(thread.recv().await.expect("a connection"));
            }
        }
        // Two of one thread end: the next two are its own.
        held[1].truncate(1);
        for _ in 0..2 {
            clients.push(TcpStream::connect(address).await.expect("connected"));
            held[1].push(threads[1].recv().await.expect("a connection"));
        }
        assert!(threads.iter_mut().all(|thread| thread.try_recv().is_err()));
    }
}
