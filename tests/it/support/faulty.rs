//! A backend that fails one of its calls, before or after the call had its effect.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tidings::{
    backend::{
        Append, Appended, Attachment, Backend, BackendError, Description, Page, TopicSettings,
        async_trait, registrations::Registrations, topics::Topics,
    },
    position::{Position, Start},
    topic::Topic,
};

/// Calls are counted from 1, all kinds together.
#[derive(Debug)]
pub struct Faulty<B> {
    inner: B,
    calls: AtomicUsize,
    fails: usize,
    when: When,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The call has no effect.
    Before,
    /// It has its effect, and its answer is lost.
    After,
}

impl<B: Backend> Faulty<B> {
    pub fn new(inner: B, fails: usize, when: When) -> Faulty<B> {
        Faulty { inner, calls: AtomicUsize::new(0), fails, when }
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, BackendError>>,
        lost: BackendError,
    ) -> Result<T, BackendError> {
        let fails = self.calls.fetch_add(1, Ordering::SeqCst) + 1 == self.fails;
        match self.when {
            When::Before if fails => Err(unavailable()),
            When::After if fails => call.await.and(Err(lost)),
            When::Before | When::After => call.await,
        }
    }
}

fn unavailable() -> BackendError {
    BackendError::Unavailable { cause: "a planned fault".into() }
}

#[async_trait]
impl<B: Backend> Backend for Faulty<B> {
    fn describe(&self) -> Description {
        self.inner.describe()
    }

    async fn append(
        &self,
        topic: &Topic,
        settings: &Arc<TopicSettings>,
        append: Append,
    ) -> Result<Appended, BackendError> {
        let lost = BackendError::OutcomeUnknown { cause: "a planned fault".into() };
        self.call(self.inner.append(topic, settings, append), lost).await
    }

    async fn attach(
        &self,
        topic: &Topic,
        settings: &Arc<TopicSettings>,
    ) -> Result<Attachment, BackendError> {
        self.call(self.inner.attach(topic, settings), unavailable()).await
    }

    async fn check(&self, topic: &Topic) -> Result<(), BackendError> {
        self.call(self.inner.check(topic), unavailable()).await
    }

    async fn read(&self, topic: &Topic, after: Position) -> Result<Page, BackendError> {
        self.call(self.inner.read(topic, after), unavailable()).await
    }

    async fn seek(&self, topic: &Topic, start: Start) -> Result<Position, BackendError> {
        self.call(self.inner.seek(topic, start), unavailable()).await
    }

    async fn watch_topics(&self) -> Result<Vec<Topic>, BackendError> {
        self.call(self.inner.watch_topics(), unavailable()).await
    }

    fn topics(&self) -> &dyn Topics {
        self.inner.topics()
    }

    fn registrations(&self) -> &dyn Registrations {
        self.inner.registrations()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
