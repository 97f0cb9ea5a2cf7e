//! The publishers of a run.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, mpsc},
    time,
};

use super::{
    meter::{Answered, Meter},
    turns::{Turn, Turns},
};
use crate::{
    grpc::client::{CallError, Client, PublishAnswers},
    proto::{
        Event, PublishRequest, PublishStreamRequest, event::Payload,
        publish_stream_response::Result as Answer,
    },
};

/// One publisher, or one of its calls in flight.
#[derive(Debug, Clone)]
pub(super) struct Publisher {
    pub(super) client: Client,
    pub(super) topic: Arc<str>,
    /// Bytes of data in each event.
    pub(super) size: usize,
    pub(super) turns: Arc<Turns>,
    pub(super) meter: Arc<Meter>,
    /// Which part of the meter it writes to.
    pub(super) part: usize,
}

/// An answer that takes longer is none.
pub(super) const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
const TYPE: &str = "tidings.bench";

impl Publisher {
    /// One call at a time; as many run side by side as may be in flight.
    pub(super) async fn call_by_call(mut self) -> Result<(), CallError> {
        while let Some(turn) = self.turns.next().await {
            let request = self.request(&turn);
            self.meter.sent(self.part, &turn);
            let answer = time::timeout(ANSWER_DEADLINE, self.client.publish(request)).await;
            let answer = answer.unwrap_or_else(|_| Err(no_answer()));
            if let Answered::Failed { pause } = self.meter.answered(self.part, &turn, answer)? {
                time::sleep(pause).await;
            }
        }
        Ok(())
    }

    /// Over a stream with so many requests in flight; over another one where it breaks.
    pub(super) async fn over_a_stream(self, in_flight: usize) -> Result<(), CallError> {
        loop {
            let sent = Sent::new(in_flight);
            let Err(error) = self.stream(&sent).await else { return Ok(()) };
            // Whether these were stored, nobody knows.
            let lost: Vec<_> = sent.requests.lock().drain(..).collect();
            let mut pause = Duration::ZERO;
            if lost.is_empty() {
                let Some(turn) = self.turns.next().await else { return Ok(()) };
                self.meter.sent(self.part, &turn);
                pause = self.failed(&turn, &error)?;
            }
            for (_, turn) in lost {
                pause = self.failed(&turn, &error)?;
            }
            time::sleep(pause).await;
        }
    }

    fn failed(&self, turn: &Turn, error: &CallError) -> Result<Duration, CallError> {
        match self.meter.answered(self.part, turn, Err(error.clone()))? {
            Answered::Failed { pause } => Ok(pause),
            Answered::Acknowledged => Ok(Duration::ZERO),
        }
    }

    async fn stream(&self, sent: &Sent) -> Result<(), CallError> {
        let (requests, stream) = mpsc::channel(sent.in_flight);
        // A server may answer nothing, not even that it listens, before the first request.
        let opened = async {
            let mut client = self.client.clone();
            let opened = time::timeout(ANSWER_DEADLINE, client.publish_stream(stream));
            opened.await.unwrap_or_else(|_| Err(no_answer()))
        };
        let receiving = async { self.receive(opened.await?, sent).await };
        tokio::try_join!(self.send(requests, sent), receiving)?;
        Ok(())
    }

    async fn send(
        &self,
        requests: mpsc::Sender<PublishStreamRequest>,
        sent: &Sent,
    ) -> Result<(), CallError> {
        let mut request_id = 0;
        loop {
            // An error means that it was closed, which nobody does.
            let Ok(place) = sent.places.acquire().await else { return Ok(()) };
            place.forget();
            let Some(turn) = self.turns.next().await else { return Ok(()) };
            let request = PublishStreamRequest { request_id, publish: Some(self.request(&turn)) };
            sent.requests.lock().push_back((request_id, turn));
            self.meter.sent(self.part, &turn);
            request_id += 1;
            // An error means that the stream is gone: whoever receives says why.
            if requests.send(request).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn receive(&self, mut answers: PublishAnswers, sent: &Sent) -> Result<(), CallError> {
        while let Some(answer) = answers.next().await? {
            let Some((expected, turn)) = sent.requests.lock().pop_front() else {
                return Err(broken("it answered what was not asked"));
            };
            if answer.request_id != expected {
                sent.requests.lock().push_front((expected, turn));
                return Err(broken("it answered out of order"));
            }
            let result = match answer.result {
                Some(Answer::Published(response)) => Ok(response),
                Some(Answer::Failure(failure)) => Err(failure.into()),
                None => Err(broken("an answer was empty")),
            };
            self.meter.answered(self.part, &turn, result)?;
            sent.places.add_permits(1);
        }
        let unanswered = sent.requests.lock().len();
        if unanswered > 0 { Err(broken("it ended before it had answered all")) } else { Ok(()) }
    }

    fn request(&self, turn: &Turn) -> PublishRequest {
        let stamp = self.meter.stamp(turn.due);
        let mut data = BytesMut::with_capacity(self.size);
        data.put_slice(&stamp);
        data.put_bytes(b'.', self.size - stamp.len());
        let data: Bytes = data.freeze();
        let event = || Event {
            r#type: TYPE.into(),
            payload: Some(Payload::Data(data.clone())),
            ..Event::default()
        };
        let events = (0..turn.events).map(|_| event()).collect();
        PublishRequest { topic: self.topic.as_ref().into(), events, ..PublishRequest::default() }
    }
}

/// What is unanswered on one stream.
struct Sent {
    in_flight: usize,
    places: Semaphore,
    requests: Mutex<VecDeque<(u64, Turn)>>,
}

impl Sent {
    fn new(in_flight: usize) -> Sent {
        Sent { in_flight, places: Semaphore::new(in_flight), requests: Mutex::default() }
    }
}

fn no_answer() -> CallError {
    CallError {
        code: "DEADLINE_EXCEEDED",
        message: format!("no answer within {} s", ANSWER_DEADLINE.as_secs()).into(),
        ..CallError::default()
    }
}

fn broken(why: &str) -> CallError {
    CallError {
        code: "INTERNAL",
        message: format!("the server broke the rules of a stream: {why}").into(),
        ..CallError::default()
    }
}
