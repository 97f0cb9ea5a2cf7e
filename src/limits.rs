//! Every bound of the system, in one place, each with its reason.

use std::time::Duration;

/// Longest name of a topic or of a pattern, in bytes.
pub const TOPIC_BYTES_MAX: usize = 255;

/// Largest event as it is stored, in bytes. gRPC clients give up at 4 MiB a message: a frame
/// with one event, its topic and its position has to stay far below.
pub const EVENT_BYTES_MAX: usize = 1 << 20;
/// Largest publish request, in bytes, all its events together.
pub const REQUEST_BYTES_MAX: usize = 4 << 20;
/// Most events in one publish request.
pub const REQUEST_EVENTS_MAX: usize = 1000;
/// Publish requests that one broker checks at a time where that takes long.
pub const ADMITTING_MAX: usize = 2;
/// The decoder's own limit lies above ours, so that a client reads our error and not the codec's.
pub const GRPC_MESSAGE_BYTES_MAX: usize = REQUEST_BYTES_MAX + (64 << 10);
/// Events of several publishes are stored together up to this many …
pub const COMMIT_EVENTS_MAX: usize = 256;
/// … and up to this many bytes; a single larger request still goes alone.
pub const COMMIT_BYTES_MAX: usize = 256 << 10;
/// What may wait to be stored, per topic, in bytes. More is refused at once with `RATE_LIMITED`.
pub const COMMIT_QUEUE_BYTES_MAX: usize = 16 << 20;
/// The same of all topics together.
pub const COMMIT_QUEUES_BYTES_MAX: usize = 256 << 20;
/// What has waited so long to be stored is refused: its publisher has better things to do, and may
/// try another broker.
pub const COMMIT_WAIT_MAX: Duration = Duration::from_secs(5);

/// Requests of one publish stream that have come and are not answered yet: what a broker far from its
/// Redis needs to be busy, and still little memory. Beyond it no more are read.
pub const PIPELINE_REQUESTS_MAX: usize = 4096;
/// The same in bytes, answers included; one request more may follow. As much as HTTP/2 lets a client
/// send ahead on one stream.
pub const PIPELINE_BYTES_MAX: usize = 1 << 20;
/// Answers of a publish stream go out together up to this many: enough for one write, and few, as
/// they no longer count above.
pub const ANSWERS_TOGETHER: usize = 256;

/// Largest frame of a subscribe stream, in bytes, unless one event is larger.
pub const FRAME_BYTES_MAX: usize = 1 << 20;
/// Small frames that are ready together go out as one up to this many bytes.
pub const FRAME_BYTES_GOOD: usize = 32 << 10;

/// Frames below this size are not compressed, whatever a subscriber takes: their packet is no fuller
/// with one, and hardly a byte would be saved.
pub const COMPRESSED_BYTES_MIN: usize = 512;

/// Longest id, type, key or media type of an event, in bytes.
pub const ATTRIBUTE_BYTES_MAX: usize = 1024;
/// Longest source, subject, schema URI or extension value, in bytes.
pub const TEXT_ATTRIBUTE_BYTES_MAX: usize = 4096;
/// Most extension attributes of one event.
pub const EXTENSIONS_MAX: usize = 64;

/// Sources of one schema, all files together, or its descriptors, in bytes. Those of a system of
/// services take a tenth of it; what a schema costs grows with it.
pub const SCHEMA_BYTES_MAX: usize = 1 << 20;
/// Files of one schema; compiling follows their imports, one call deeper for each.
pub const SCHEMA_FILES_MAX: usize = 256;
/// Messages and enums of one schema.
pub const SCHEMA_TYPES_MAX: usize = 4096;
/// Fields, values, options, reserved ranges: everything that is declared in one schema. A byte or two
/// of descriptors can declare what takes hundreds in memory.
pub const SCHEMA_DECLARATIONS_MAX: usize = 32_768;
/// How deep messages may be declared inside each other.
pub const SCHEMA_NESTING_MAX: usize = 30;
/// How deep brackets of any kind may nest in a source: messages, and options inside them.
pub const SCHEMA_BRACKETS_MAX: usize = 64;
/// Longest single name in a schema, in bytes …
pub const SCHEMA_NAME_BYTES_MAX: usize = 255;
/// … and with everything around it: every field carries its own.
pub const SCHEMA_FULL_NAME_BYTES_MAX: usize = 1024;
/// Longest name of a registered type, in bytes: as topics, so that the same patterns choose them.
pub const SCHEMA_TYPE_NAME_BYTES_MAX: usize = TOPIC_BYTES_MAX;
/// Versions of one type, and their bytes, sources included: a new one is compared with all of them.
pub const SCHEMA_VERSIONS_MAX: usize = 1000;
pub const SCHEMA_TYPE_BYTES_MAX: usize = 16 << 20;
/// Canonical descriptors of more bytes are linked where that keeps nobody waiting.
pub const SCHEMA_LINKED_AT_ONCE_BYTES: usize = 16 << 10;
/// All versions of all types, and their bytes: every broker holds them in memory.
pub const SCHEMAS_MAX: usize = 20_000;
pub const SCHEMAS_BYTES_MAX: usize = 256 << 20;
/// A pattern in the rules of a schema, compiled, in bytes …
pub const RULES_PATTERN_BYTES_MAX: usize = 64 << 10;
/// … all patterns of one schema …
pub const RULES_PATTERNS_BYTES_MAX: usize = 1 << 20;
/// … and the largest of them times the bytes of an event: the worst take microseconds for a byte. The
/// smallest are asked of every event that there can be.
pub const RULES_PATTERN_WORK_MAX: usize = (4 << 10) * EVENT_BYTES_MAX;
/// All rules in CEL of one schema, in bytes of their text; one of them is as long as a filter may be.
pub const RULES_CEL_BYTES_MAX: usize = 64 << 10;
/// Steps that all rules in CEL may take of one event, with those that its bytes allow.
pub const RULES_STEPS_MAX: u32 = 500_000;
/// What the smallest is allowed …
pub const RULES_STEPS_SMALL: u32 = 2000;
/// … and how much more for each byte.
pub const RULES_STEPS_PER_BYTE: u32 = 8;
/// Events of types with rules that are checked on the thread that serves their publisher, in bytes and
/// with [`RULED_EVENT_BYTES`] for each.
pub const RULED_AT_ONCE_BYTES_MAX: usize = 4 << 10;
/// What the rules of an event take beside what its bytes do, as bytes.
pub const RULED_EVENT_BYTES: usize = (RULES_STEPS_SMALL / RULES_STEPS_PER_BYTE) as usize;
/// Largest message of which everything that breaks its rules is looked for, in bytes; of others the first
/// thing is told.
pub const RULES_TOLD_BYTES_MAX: usize = 4 << 10;
/// Types that one topic may name.
pub const TOPIC_TYPES_MAX: usize = 64;
/// Fields of one event that are said to be wrong.
pub const SCHEMA_PROBLEMS_MAX: usize = 20;
/// What is said of one of them, in bytes: its path, and as much of what is wrong. Errors travel in
/// trailers, of which clients take 8 KiB.
pub const SCHEMA_PROBLEM_BYTES_MAX: usize = 120;
/// A publish is refused for so many mistakes at most, and more are not looked for.
pub const PUBLISH_VIOLATIONS_MAX: usize = 100;
/// What one change breaks is told up to this many findings, and as many warnings.
pub const SCHEMA_VIOLATIONS_MAX: usize = 100;
/// Schemas that are compiled or compared at a time: each may keep a core busy for a while, and events
/// go first …
pub const SCHEMA_WORK_TOGETHER: usize = 1;
/// … and how many may wait for that, and how long. More is refused.
pub const SCHEMA_WORK_WAITING: usize = 32;
pub const SCHEMA_WORK_WAIT: Duration = Duration::from_secs(10);
/// Largest request that registers a schema: what is too large is told by us, with what is allowed.
pub const SCHEMA_REQUEST_BYTES_MAX: usize = 16 << 20;
/// Files of schemas that one pattern or directory may choose, and their bytes.
pub const SCHEMA_FILES_FOUND_MAX: usize = 10_000;
pub const SCHEMA_FILES_FOUND_BYTES_MAX: usize = 64 << 20;
/// Longest path of a schema's file, in bytes.
pub const SCHEMA_PATH_BYTES_MAX: usize = 255;

/// Largest request of reflection, in bytes: it holds one name.
pub const REFLECTION_REQUEST_BYTES_MAX: usize = 8 << 10;
/// Requests of reflection on one stream: a client asks some for each type that it meets.
pub const REFLECTION_REQUESTS_MAX: usize = 10_000;

/// What the hub keeps of one topic for subscribers that lag a little, in bytes; beyond it they
/// read the topic's history.
pub const LOG_BYTES_MAX: usize = 2 << 20;
/// The same, in entries: a flood of tiny batches must not hide behind the byte bound.
pub const LOG_ENTRIES_MAX: usize = 4096;
/// What filters show of one entry of the log is kept for so many different filters: each costs as
/// much as what it shows. Beyond it is made again.
pub const LENSES_KEPT_MAX: usize = 8;
/// News that the hub takes in one go: what comes for one topic becomes one entry of its log.
pub const NEWS_TOGETHER_MAX: usize = 256;
/// The same in bytes (one more may follow): less than a log holds, so that whoever keeps up can read
/// between two of them.
pub const NEWS_BYTES_TOGETHER: usize = 256 << 10;
/// How long a topic stays attached after its last subscriber left, so that reconnecting is cheap.
pub const LINGER: Duration = Duration::from_secs(5);
/// Topics that appeared, told to one subscription; beyond it the subscription lists them all again.
pub const APPEARED_MAX: usize = 1024;
/// What a subscription takes from one topic before it turns to the next, in bytes.
pub const TURN_BYTES: usize = 256 << 10;

/// News on their way from the backend to the hub …
pub const FEED_ITEMS_MAX: usize = 1024;
/// … and what their events have in bytes together.
pub const FEED_BYTES_MAX: usize = 32 << 20;
/// What one page of history holds, in bytes (one entry more may follow).
pub const PAGE_BYTES: usize = 1 << 20;
/// What one page of history holds, in entries.
pub const PAGE_ENTRIES: usize = 64;
/// The same, of entries of one event: Redis is busy for a millisecond to read so many, and others wait.
pub const PAGE_SINGLE_ENTRIES: usize = 1000;
/// Of those pages, so many are read at a time over connections of their own.
pub const RANGES_TOGETHER: usize = 8;
/// Stretches of history that subscriptions read and send at a time, all of a broker: whatever is ready to be
/// sent stands before what is live …
pub const HISTORY_TURNS: usize = 2;
/// … and how long the others wait for one that does not send what it read.
pub const HISTORY_TURN_MAX: Duration = Duration::from_millis(5);
/// Pages that were read lately are there for others who come to the same place, so many bytes at a time
/// (one item more may follow) …
pub const HISTORY_SHARED_BYTES: usize = 16 << 10;
/// … up to so many bytes …
pub const HISTORY_KEPT_BYTES: usize = 16 << 20;
/// … and so long after the last one came.
pub const HISTORY_KEPT_FOR: Duration = Duration::from_secs(5);

/// Most topics and patterns named by one subscribe request.
pub const SUBSCRIBE_TOPICS_MAX: usize = 100;
/// Most topics that one subscription may follow, patterns resolved.
pub const SUBSCRIPTION_TOPICS_MAX: usize = 10_000;
/// Most positions in one subscribe request.
pub const RESUME_POSITIONS_MAX: usize = SUBSCRIPTION_TOPICS_MAX;
/// Most entries in one list of a filter.
pub const FILTER_ENTRIES_MAX: usize = 1000;
/// Longest expression of a filter, in bytes, its most parts, macros written out, and how deep they may
/// stand in each other.
pub const CEL_BYTES_MAX: usize = 2048;
pub const CEL_NODES_MAX: usize = 256;
pub const CEL_DEPTH_MAX: u16 = 32;
/// How deep loops over lists may stand in each other. What they cost is counted as well.
pub const CEL_LOOPS_DEEP_MAX: usize = 2;
/// Memory of one compiled pattern, in bytes: what a byte of text may cost grows with it.
pub const CEL_PATTERN_BYTES_MAX: usize = 64 << 10;
/// What one expression may do for one event, in steps: a part of it that is evaluated, or 64 bytes that
/// are looked at, take one. All of it is some milliseconds.
pub const CEL_STEPS_MAX: u32 = 20_000;
/// The same of a small event, so that a thousand of them in one frame take no thousand times as long …
pub const CEL_STEPS_SMALL: u32 = 512;
/// … and for each of its bytes: a loop over the shortest elements there are takes as much.
pub const CEL_STEPS_PER_BYTE: u32 = 8;
/// What may be made for a subscriber on the thread that serves it: of what its filter may do, in steps,
/// and of what becomes JSON, in bytes. More is made beside it, by so many threads at a time.
pub const SHOWN_AT_ONCE_STEPS_MAX: usize = 8192;
pub const RENDERED_AT_ONCE_BYTES_MAX: usize = 64 << 10;
pub const SHOWING_MAX: usize = 2;
/// Most positions told by one heartbeat; more are split over several.
pub const HEARTBEAT_POSITIONS_MAX: usize = 1000;

/// Joins and page reads that one subscription has under way at a time.
pub const JOINS_MAX: usize = 64;
pub const READS_MAX: usize = 4;
/// Connections of one broker; more are closed as they come, so that their clients go elsewhere. One
/// takes some tens of KiB and a file descriptor; what the system allows less of, it says itself.
pub const CONNECTIONS_MAX: usize = 20_000;
/// Connections that wait to be taken up by the thread that is to serve them.
pub const ACCEPTED_MAX: usize = 1024;
/// Threads that serve connections: more than any machine has cores for.
pub const THREADS_MAX: usize = 1024;
/// A connection that has not sent as much as HTTP/2 begins with is closed after this time. Honest
/// clients take one round trip.
pub const CONNECTION_SILENCE_MAX: Duration = Duration::from_secs(5);
/// Streams of one connection: more are refused until one of them ends, and clients wait for that.
pub const CONNECTION_STREAMS_MAX: u32 = 1000;
/// Requests of which the end has not come yet, all together, in bytes; beyond it
/// they are refused.
pub const UNFINISHED_REQUESTS_BYTES_MAX: usize = 256 << 20;
/// Between the first byte of a request and its last: 4 MiB over a line of 70 KB/s.
pub const REQUEST_ARRIVAL_MAX: Duration = Duration::from_secs(60);
/// Streams of one connection that we may have to reset; a client that goes on making us do so
/// loses the connection.
pub const CONNECTION_RESETS_MAX: usize = 1024;
/// Streams of one broker, unless an operator says otherwise.
pub const STREAMS_MAX: usize = 100_000;
/// A stream is asked to reconnect after this age, give or take a tenth, unless an operator says
/// otherwise: it spreads clients over brokers again after a restart.
pub const STREAM_AGE_MAX: Duration = Duration::from_secs(1800);
/// Between `GoAway` and the end of a stream that has become too old.
pub const GO_AWAY_GRACE: Duration = Duration::from_secs(10);
/// Deepest JSON that is shown as a message: three levels of messages for each level of JSON must
/// stay below the hundred at which protobuf decoders give up.
pub const JSON_DEPTH_MAX: usize = 30;

/// Silence of a stream is never longer than this, unless the request asks for another interval.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
pub const HEARTBEAT_INTERVAL_MIN: Duration = Duration::from_secs(1);
pub const HEARTBEAT_INTERVAL_MAX: Duration = Duration::from_secs(120);

/// Default number of events that a live topic keeps to heal outages.
pub const HISTORY_EVENTS: u64 = 1000;
/// Most events that a live topic may be told to keep.
pub const HISTORY_EVENTS_MAX: u64 = 1_000_000;
/// Default number of bytes that a live topic keeps.
pub const HISTORY_BYTES: u64 = 16 << 20;
/// What a durable topic keeps of which nobody said more: an hour of a busy topic, a week of a quiet
/// one, and no more memory than a small Redis has.
pub const DURABLE_EVENTS: u64 = 1_000_000;
pub const DURABLE_BYTES: u64 = 1 << 30;
pub const DURABLE_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Largest limit of events or bytes: scripts of Redis count in doubles.
pub const DURABLE_LIMIT_MAX: u64 = 1 << 50;
/// Shortest age after which events are dropped: trims are paced.
pub const RETENTION_AGE_MIN: Duration = Duration::from_secs(1);
/// How long a durable topic knows the ids of events, so that none is stored twice, where nobody said:
/// longer than anybody sends a publish again, and a restart of Redis on the way.
pub const DEDUPE_WINDOW: Duration = Duration::from_secs(120);
/// Longest window: what it holds is memory, about 75 bytes an event in Redis.
pub const DEDUPE_WINDOW_MAX: Duration = Duration::from_secs(24 * 3600);
/// Ids that the memory backend knows of one topic; the oldest go first. As many as a busy topic has in
/// the default window (2,000 a second), and no more than some 25 MB.
pub const MEMORY_IDS_MAX: usize = 1 << 18;
/// Longest name of a channel that an operator gives, in bytes.
pub const CHANNEL_BYTES_MAX: usize = 255;
/// Most topics of which something is said over the API: every broker holds all of it, and reads it
/// anew with each change.
pub const CONFIGURED_TOPICS_MAX: usize = 10_000;
/// Most labels of one topic, and the longest name or value of one, in bytes.
pub const LABELS_MAX: usize = 32;
pub const LABEL_BYTES_MAX: usize = 255;
/// Topics of one page of a list, unless the request says otherwise, and the most that it may say.
pub const LIST_PAGE: usize = 100;
pub const LIST_PAGE_MAX: usize = 1000;
/// An idle live topic is forgotten after this time.
pub const TOPIC_IDLE: Duration = Duration::from_secs(3600);

/// A topic that asks for replicas waits so long for them; then its receipt says what was reached.
pub const REPLICAS_WAIT: Duration = Duration::from_secs(1);
/// A topic that asks for the disk waits so long for it: Redis may sync once a second.
pub const DISK_WAIT: Duration = Duration::from_millis(2500);
/// Publishes that wait for replicas or for the disk at a time, each on a connection of its own.
pub const WAITERS_MAX: usize = 16;
/// Of a rule: more replicas than that nobody has.
pub const REPLICAS_MAX: u32 = 16;

/// A call to the backend that takes longer has failed.
pub const BACKEND_DEADLINE: Duration = Duration::from_secs(1);

const _: () = assert!(EVENT_BYTES_MAX <= FRAME_BYTES_MAX, "a frame holds at least one event");
const _: () = assert!(REQUEST_BYTES_MAX < GRPC_MESSAGE_BYTES_MAX, "our error comes first");
