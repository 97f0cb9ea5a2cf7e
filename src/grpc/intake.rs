//! Requests on their way in: what is not yet whole has a bound and a deadline.
//!
//! A request is held until its last byte has come. Without a bound one connection with a thousand
//! streams, each short of one byte, would make the broker hold 4 GiB for ever. So the bytes of
//! unfinished messages share one budget, and where it is used up, what comes is refused: to wait
//! could be to wait for one another. And a message that has begun must end in time.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};
use tonic::{Status, body::Body};

use super::status;
use crate::limits::{REQUEST_ARRIVAL_MAX, UNFINISHED_REQUESTS_BYTES_MAX};

/// What all requests of a broker share.
#[derive(Debug, Clone)]
pub(super) struct Intake {
    budget: Arc<Semaphore>,
    arrival: Duration,
}

impl Default for Intake {
    fn default() -> Intake {
        Intake {
            budget: Arc::new(Semaphore::new(UNFINISHED_REQUESTS_BYTES_MAX)),
            arrival: REQUEST_ARRIVAL_MAX,
        }
    }
}

impl Intake {
    pub(super) fn bound(&self, body: Body) -> Body {
        Body::new(Arriving {
            body,
            intake: self.clone(),
            message: Message::default(),
            held: None,
            late: None,
        })
    }
}

/// A request's body. One that carries a stream of messages is bounded message by message.
struct Arriving {
    body: Body,
    intake: Intake,
    message: Message,
    held: Option<OwnedSemaphorePermit>,
    late: Option<Pin<Box<Sleep>>>,
}

/// Where in a message of gRPC we are: five bytes, of which the last four are the length of the rest.
#[derive(Debug, Default)]
struct Message {
    prefix: [u8; 5],
    prefix_bytes: usize,
    missing: u64,
    /// What has come of it.
    bytes: usize,
}

impl Message {
    /// Goes on over `bytes`; whether a message ended there, so that the next one has begun since.
    fn pass(&mut self, mut bytes: &[u8]) -> bool {
        let mut ended = false;
        while !bytes.is_empty() {
            if self.missing > 0 {
                let part = bytes.len().min(usize::try_from(self.missing).unwrap_or(usize::MAX));
                self.missing -= part as u64;
                self.bytes += part;
                bytes = &bytes[part..];
            } else {
                self.prefix[self.prefix_bytes] = bytes[0];
                self.prefix_bytes += 1;
                self.bytes += 1;
                bytes = &bytes[1..];
                if self.prefix_bytes < self.prefix.len() {
                    continue;
                }
                let [_, length @ ..] = self.prefix;
                self.missing = u32::from_be_bytes(length).into();
                self.prefix_bytes = 0;
            }
            if self.missing == 0 {
                ended = true;
                self.bytes = 0;
            }
        }
        ended
    }
}

impl Arriving {
    fn take(&mut self, data: Bytes) -> Result<Frame<Bytes>, Status> {
        if self.message.pass(&data) {
            // The decoder has all of it now, and what it makes of it has bounds of its own.
            self.held = None;
            self.late = None;
        }
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let bytes = u32::try_from(self.message.bytes - held).unwrap_or(u32::MAX);
        if bytes > 0 {
            let share = self.intake.budget.clone().try_acquire_many_owned(bytes);
            let share = share.map_err(|_| status::crowded(UNFINISHED_REQUESTS_BYTES_MAX))?;
            match &mut self.held {
                Some(held) => held.merge(share),
                held @ None => *held = Some(share),
            }
        }
        Ok(Frame::data(data))
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| match frame?.into_data() {
                Ok(data) => this.take(data),
                Err(trailers) => Ok(trailers),
            }));
        }
        // Only what has to be waited for can be late: a stream is read no further while the broker
        // is busy with what came before, and that is not the client's fault.
        if this.held.is_none() {
            return Poll::Pending;
        }
        let arrival = this.intake.arrival;
        let late = this.late.get_or_insert_with(|| Box::pin(sleep(arrival)));
        ready!(late.as_mut().poll(cx));
        Poll::Ready(Some(Err(status::unfinished(arrival))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt as _;
    use tokio::sync::mpsc;

    use super::*;

    /// What is sent, frame by frame, until it is dropped.
    struct Sent(mpsc::Receiver<Bytes>);

    impl HttpBody for Sent {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            self.0.poll_recv(cx).map(|data| data.map(|data| Ok(Frame::data(data))))
        }
    }

    fn request(intake: &Intake) -> (mpsc::Sender<Bytes>, Body) {
        let (sender, receiver) = mpsc::channel(16);
        (sender, intake.bound(Body::new(Sent(receiver))))
    }

    async fn next(body: &mut Body) -> Option<Result<Bytes, Status>> {
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
        Some(frame.map(|frame| frame.into_data().expect("data")))
    }

    /// Of `length` bytes, of which `sent` are sent.
    fn message(length: u32, sent: usize) -> Bytes {
        [&[0][..], &length.to_be_bytes(), &vec![7; sent]].concat().into()
    }

    fn intake(budget: usize) -> Intake {
        Intake { budget: Arc::new(Semaphore::new(budget)), arrival: Duration::from_secs(30) }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_unfinished_has_a_share_and_what_is_whole_gives_it_back() {
        let intake = intake(1000);
        let (first, mut first_body) = request(&intake);
        first.send(message(800, 700)).await.expect("sent");
        assert_eq!(next(&mut first_body).await.expect("a frame").expect("no error").len(), 705);
        let (second, mut second_body) = request(&intake);
        second.send(message(800, 400)).await.expect("sent");
        let error = next(&mut second_body).await.expect("an end").expect_err("no room");
        assert_eq!(error.code(), tonic::Code::ResourceExhausted);
        first.send(vec![7; 100].into()).await.expect("sent");
        assert_eq!(next(&mut first_body).await.expect("a frame").expect("no error").len(), 100);
        assert_eq!(intake.budget.available_permits(), 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_does_not_end_in_time_ends_its_request() {
        let intake = intake(1000);
        let (sender, mut body) = request(&intake);
        sender.send(message(10, 9)).await.expect("sent");
        next(&mut body).await.expect("a frame").expect("no error");
        let error = next(&mut body).await.expect("an end").expect_err("late");
        assert_eq!(error.code(), tonic::Code::DeadlineExceeded);
        drop(body);
        assert_eq!(intake.budget.available_permits(), 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_messages_may_be_silent_between_two() {
        let intake = intake(1000);
        let (sender, mut body) = request(&intake);
        for _ in 0..3 {
            let whole = message(10, 10);
            sender.send(whole.slice(..3)).await.expect("sent");
            sender.send(whole.slice(3..)).await.expect("sent");
            next(&mut body).await.expect("a frame").expect("no error");
            next(&mut body).await.expect("a frame").expect("no error");
            tokio::time::sleep(2 * intake.arrival).await;
        }
        drop(sender);
        assert!(next(&mut body).await.is_none());
    }

    /// As HTTP/2 cuts it: each frame ends in the middle of the next message.
    #[tokio::test(start_paused = true)]
    async fn of_a_stream_only_the_message_that_is_not_whole_has_a_share_and_a_deadline() {
        let intake = intake(1000);
        let (sender, mut body) = request(&intake);
        sender.send(message(95, 45)).await.expect("sent");
        next(&mut body).await.expect("a frame").expect("no error");
        for _ in 0..30 {
            assert_eq!(intake.budget.available_permits(), 950);
            let frame = [&[7; 50][..], &message(95, 45)].concat();
            sender.send(frame.into()).await.expect("sent");
            // It is waited for, and comes in time.
            assert!(next(&mut body).now_or_never().is_some());
            assert!(next(&mut body).now_or_never().is_none());
            tokio::time::sleep(intake.arrival / 2).await;
        }
        let error = next(&mut body).await.expect("an end").expect_err("late");
        assert_eq!(error.code(), tonic::Code::DeadlineExceeded);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_not_late_while_the_broker_does_not_ask_for_it() {
        let intake = intake(1000);
        let (sender, mut body) = request(&intake);
        sender.send(message(95, 45)).await.expect("sent");
        next(&mut body).await.expect("a frame").expect("no error");
        tokio::time::sleep(2 * intake.arrival).await;
        assert!(next(&mut body).now_or_never().is_none());
        sender.send(vec![7; 50].into()).await.expect("sent");
        next(&mut body).await.expect("a frame").expect("no error");
        drop(sender);
        assert!(next(&mut body).await.is_none());
    }
}
