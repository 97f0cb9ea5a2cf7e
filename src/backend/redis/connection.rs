//! One connection to Redis: made, identified, called with a deadline, closed for good.
//!
//! The redis crate speaks the protocol; everything that decides whether a connection lives is
//! ours. A call that passes its deadline closes the connection, so that nothing is sent behind a
//! command of which the outcome is unknown. Nothing here reconnects: see `session.rs`.

use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use redis::{AsyncConnectionConfig, Cmd, PushInfo, RedisError, Value, aio::MultiplexedConnection};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    address::{Address, Node},
    keys,
    ranges::Ranges,
    sentinel::NoPrimary,
    session::Identity,
};
use crate::{backend::BackendError, limits::BACKEND_DEADLINE};

/// What the publish script answers where the stream holds something behind the place that the
/// topic has reached: nothing can be put there.
pub(super) const OUT_OF_ORDER: &str = "OUTOFORDER";
pub(super) const OTHER_REPLID: &str = "REPLID";
/// What a script answers where it cannot make sense of what is stored.
const DAMAGED: &str = "DAMAGED";
/// What the open script answers where a topic is kept in a way that we know nothing of.
const MODE: &str = "MODE";

/// A connection to the primary, or to a sentinel: then without what only the primary has.
#[derive(Debug)]
pub(super) struct Link {
    connection: MultiplexedConnection,
    closed: CancellationToken,
    /// Where it leads.
    pub(super) node: String,
    /// Of the sentinels' configuration in which that is the primary.
    pub(super) config_epoch: u64,
    /// Which connection this is, among all that this process made.
    pub(super) generation: u64,
    /// Which run of a Redis is at the other end.
    pub(super) run_id: String,
    replid: Mutex<String>,
    /// Over which long stretches of streams are read.
    pub(super) ranges: Ranges,
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum CallError {
    /// The connection was closed before the command was sent.
    #[error("not connected")]
    NotSent,
    /// The command may have been carried out.
    #[error("no answer: {0}")]
    Lost(String),
    /// Redis answered with an error.
    #[error("{0}")]
    Refused(RedisError),
    /// Redis answered something that this command never answers.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
    /// A key holds what we did not write, as was found before anything was written.
    #[error("{0}")]
    Damaged(String),
    /// There is nothing to connect to.
    #[error("{0}")]
    NoPrimary(NoPrimary),
}

impl Link {
    /// Connects, and reads whom it is connected to. Refuses what is no primary.
    pub(super) async fn connect(
        address: &Address,
        generation: u64,
        on_push: impl Fn(PushInfo) + Clone + Send + Sync + 'static,
    ) -> Result<Link, CallError> {
        match address {
            Address::Node(node) => Link::to_primary(node, 0, generation, on_push).await,
            Address::Service(sentinels) => sentinels.connect(generation, on_push).await,
        }
    }

    pub(super) async fn to_primary(
        node: &Node,
        config_epoch: u64,
        generation: u64,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Link, CallError> {
        let mut link = Link::dial(node, on_push).await?;
        let identity = Identity::of(&link).await?;
        link.rename(&identity.replid);
        link.run_id = identity.run_id;
        Ok(Link { config_epoch, generation, ..link })
    }

    /// To whatever is there.
    pub(super) async fn dial(
        node: &Node,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Link, CallError> {
        let closed = CancellationToken::new();
        let on_end = closed.clone();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(BACKEND_DEADLINE))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(1024)
            .set_push_sender(move |push: PushInfo| {
                if push.kind == redis::PushKind::Disconnection {
                    on_end.cancel();
                }
                on_push(push);
                Ok::<(), redis::aio::SendError>(())
            });
        let client = node.client().map_err(CallError::Refused)?;
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let connection = timeout(2 * BACKEND_DEADLINE, connecting)
            .await
            .map_err(|_| CallError::Lost("connecting took too long".into()))?
            .map_err(CallError::Refused)?;
        Ok(Link {
            connection,
            closed,
            node: node.shown(),
            config_epoch: 0,
            generation: 0,
            run_id: String::new(),
            replid: Mutex::default(),
            ranges: Ranges::new(node.clone()),
        })
    }

    /// The replication id of the Redis at the other end, as it was read over this connection.
    pub(super) fn replid(&self) -> String {
        self.replid.lock().clone()
    }

    /// The same Redis goes by another id now.
    pub(super) fn rename(&self, replid: &str) {
        *self.replid.lock() = replid.to_owned();
    }

    /// A value that only a living Redis gives back. Not by PING, which a Redis that cannot save
    /// refuses as it refuses a write.
    pub(super) async fn echo(&self, token: u64) -> Result<(), CallError> {
        let echoed: u64 = self.call(redis::cmd("ECHO").arg(token)).await?;
        if echoed == token {
            return Ok(());
        }
        self.close();
        Err(CallError::Unexpected("ECHO answered another's ECHO".into()))
    }

    /// Sends one command and waits for its answer, at most [`BACKEND_DEADLINE`]. Later means
    /// closed.
    pub(super) async fn call<T: redis::FromRedisValue>(&self, cmd: &Cmd) -> Result<T, CallError> {
        self.call_within(cmd, BACKEND_DEADLINE).await
    }

    /// The same with a deadline of its own.
    pub(super) async fn call_within<T: redis::FromRedisValue>(
        &self,
        cmd: &Cmd,
        deadline: Duration,
    ) -> Result<T, CallError> {
        let mut connection = self.connection.clone();
        let value = self.answered(connection.send_packed_command(cmd), deadline).await?;
        redis::from_redis_value(value).map_err(|error| CallError::Unexpected(error.to_string()))
    }

    async fn answered(
        &self,
        answer: impl Future<Output = Result<Value, RedisError>>,
        deadline: Duration,
    ) -> Result<Value, CallError> {
        if self.closed.is_cancelled() {
            return Err(CallError::NotSent);
        }
        let answer = tokio::select! {
            biased;
            // An answer that has come counts, also when the connection ended behind it.
            answer = timeout(deadline, answer) => answer,
            () = self.closed.cancelled() => return Err(CallError::Lost("connection closed".into())),
        };
        match answer {
            Ok(Ok(Value::ServerError(error))) => Err(CallError::Refused(error.into())),
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) if error.code().is_some() => Err(CallError::Refused(error)),
            Ok(Err(error)) => {
                self.close();
                Err(CallError::Lost(error.to_string()))
            }
            Err(_) => {
                self.close();
                Err(CallError::Lost(format!("none within {deadline:?}")))
            }
        }
    }

    /// One command on one key, which may hold what is not ours.
    pub(super) async fn call_on<T: redis::FromRedisValue>(
        &self,
        key: &str,
        cmd: &Cmd,
    ) -> Result<T, CallError> {
        match self.call(cmd).await {
            Err(error) => Err(self.explain(error, &[key.to_owned()]).await),
            answer => answer,
        }
    }

    /// Says which of the keys is the trouble, and what to do, where it is a key.
    pub(super) async fn explain(&self, error: CallError, keys: &[String]) -> CallError {
        match error.code() {
            Some("WRONGTYPE") => {
                for key in keys {
                    let kind: Result<String, _> = self.call(redis::cmd("TYPE").arg(key)).await;
                    let Ok(kind) = kind else { continue };
                    if kind != "none" && kind != keys::kind(key) {
                        return CallError::damaged(key, &format!("is a {kind}, which is not ours"));
                    }
                }
                // Mended meanwhile, or not for us to ask.
                CallError::damaged(&keys.join(" or "), "holds what is not ours")
            }
            Some(DAMAGED) => {
                CallError::damaged(&keys.join(" or "), "does not hold what we wrote there")
            }
            Some(MODE) => CallError::Damaged(format!(
                "{} in redis says that the topic is kept in a way that this broker does not know: \
                 use a newer broker, or delete the key, and the topic begins anew",
                keys[0]
            )),
            Some(_) | None => error,
        }
    }

    /// The same over `SUBSCRIBE` and `UNSUBSCRIBE`: returns when each channel is confirmed.
    pub(super) async fn subscribe(&self, channels: &[String]) -> Result<(), CallError> {
        let mut connection = self.connection.clone();
        self.confirmed(async move { connection.subscribe(channels).await }).await
    }

    pub(super) async fn unsubscribe(&self, channels: &[String]) -> Result<(), CallError> {
        let mut connection = self.connection.clone();
        self.confirmed(async move { connection.unsubscribe(channels).await }).await
    }

    async fn confirmed(
        &self,
        confirmations: impl Future<Output = Result<(), RedisError>>,
    ) -> Result<(), CallError> {
        let answer = tokio::select! {
            biased;
            answer = timeout(2 * BACKEND_DEADLINE, confirmations) => answer,
            () = self.closed.cancelled() => return Err(CallError::Lost("connection closed".into())),
        };
        match answer {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.code().is_some() => Err(CallError::Refused(error)),
            Ok(Err(error)) => {
                self.close();
                Err(CallError::Lost(error.to_string()))
            }
            Err(_) => {
                self.close();
                Err(CallError::Lost("a subscription was not confirmed".into()))
            }
        }
    }

    /// For good. Calls under way end as lost.
    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }
}

/// A line of `INFO`.
pub(super) fn info_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

impl CallError {
    pub(super) fn damaged(key: &str, how: &str) -> CallError {
        CallError::Damaged(format!(
            "{key} in redis {how}: delete it, and let nobody else write under td:; what it held is \
             begun anew"
        ))
    }

    /// Whether Redis said for certain that nothing was written: what it answers before it runs a
    /// command, or at a script's first write.
    pub(super) fn is_certain(&self) -> bool {
        match self {
            CallError::NotSent | CallError::Damaged(_) | CallError::NoPrimary(_) => true,
            CallError::Lost(_) | CallError::Unexpected(_) => false,
            CallError::Refused(error) => match error.code() {
                Some(
                    "READONLY" | "OOM" | "MISCONF" | "NOSCRIPT" | "LOADING" | "BUSY" | "MOVED"
                    | "ASK" | "TRYAGAIN" | "NOREPLICAS" | "MASTERDOWN" | "CLUSTERDOWN" | "NOAUTH"
                    | "WRONGTYPE" | OUT_OF_ORDER | OTHER_REPLID,
                ) => true,
                // Said by a command inside a script, it may have come after a write.
                Some("NOPERM") => !error.to_string().contains("script:"),
                Some(_) | None => false,
            },
        }
    }

    /// Whether it is a trouble of the one topic that was asked for, not of the connection.
    pub(super) fn is_of_one_topic(&self) -> bool {
        match self {
            CallError::Unexpected(_) | CallError::Damaged(_) => true,
            CallError::Refused(error) => matches!(error.code(), Some("ERR" | "WRONGTYPE")),
            CallError::NotSent | CallError::Lost(_) | CallError::NoPrimary(_) => false,
        }
    }

    /// Whether Redis does not know the user, or not by this password: it will not tomorrow either.
    pub(super) fn is_of_credentials(&self) -> bool {
        match self {
            CallError::Refused(error) => {
                error.kind() == redis::ErrorKind::AuthenticationFailed
                    || matches!(error.code(), Some("WRONGPASS" | "NOAUTH"))
            }
            CallError::NotSent
            | CallError::Lost(_)
            | CallError::Unexpected(_)
            | CallError::Damaged(_)
            | CallError::NoPrimary(_) => false,
        }
    }

    /// Whether Redis is about to have another primary.
    pub(super) fn is_of_a_failover(&self) -> bool {
        match self {
            CallError::NoPrimary(why) => why.is_a_failover(),
            CallError::Refused(_) => matches!(
                self.code(),
                Some("READONLY" | "MASTERDOWN" | "MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN")
            ),
            CallError::NotSent
            | CallError::Lost(_)
            | CallError::Unexpected(_)
            | CallError::Damaged(_) => false,
        }
    }

    pub(super) fn code(&self) -> Option<&str> {
        match self {
            CallError::Refused(error) => error.code(),
            CallError::NotSent
            | CallError::Lost(_)
            | CallError::Unexpected(_)
            | CallError::Damaged(_)
            | CallError::NoPrimary(_) => None,
        }
    }
}

/// For calls that write nothing, or of which the outcome is certain.
impl From<CallError> for BackendError {
    fn from(error: CallError) -> BackendError {
        let cause = error.to_string();
        if let CallError::Damaged(cause) = error {
            return BackendError::Refused { cause };
        }
        if error.is_of_a_failover() {
            return BackendError::Failover { cause };
        }
        match error.code() {
            Some("OOM") => BackendError::Full { cause },
            // What passes by itself, or is mended without us.
            Some("LOADING" | "BUSY" | "NOREPLICAS" | "MISCONF") | None => {
                BackendError::Unavailable { cause }
            }
            // What a script said, of which no rule above knows why.
            Some("ERR") => BackendError::Refused {
                cause: format!(
                    "redis does not let the broker do its work ({cause}): report it, and where \
                     the topic can be spared, delete its keys td:{{<topic>}}:m and td:{{<topic>}}:s"
                ),
            },
            Some(_) => BackendError::Refused { cause },
        }
    }
}

/// A bulk string's bytes, without a copy.
#[expect(clippy::wildcard_enum_match_arm, reason = "of all that Redis answers, three are text")]
pub(super) fn bytes_of(value: Value) -> Option<Bytes> {
    match value {
        Value::BulkString(bytes) => Some(Bytes::from(bytes)),
        Value::SimpleString(text) => Some(Bytes::from(text)),
        Value::VerbatimString { text, .. } => Some(Bytes::from(text)),
        _ => None,
    }
}
