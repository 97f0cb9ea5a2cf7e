from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from tidings.v1 import event_pb2 as _event_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Durability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DURABILITY_UNSPECIFIED: _ClassVar[Durability]
    DURABILITY_LIVE: _ClassVar[Durability]
    DURABILITY_MEMORY: _ClassVar[Durability]
    DURABILITY_DISK: _ClassVar[Durability]
    DURABILITY_REPLICATED: _ClassVar[Durability]

class View(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VIEW_UNSPECIFIED: _ClassVar[View]
    VIEW_JSON: _ClassVar[View]
    VIEW_METADATA: _ClassVar[View]
DURABILITY_UNSPECIFIED: Durability
DURABILITY_LIVE: Durability
DURABILITY_MEMORY: Durability
DURABILITY_DISK: Durability
DURABILITY_REPLICATED: Durability
VIEW_UNSPECIFIED: View
VIEW_JSON: View
VIEW_METADATA: View

class PublishRequest(_message.Message):
    __slots__ = ("topic", "events", "expected_last", "validate_only")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_LAST_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    topic: str
    events: _containers.RepeatedCompositeFieldContainer[_event_pb2.Event]
    expected_last: _event_pb2.Position
    validate_only: bool
    def __init__(self, topic: _Optional[str] = ..., events: _Optional[_Iterable[_Union[_event_pb2.Event, _Mapping]]] = ..., expected_last: _Optional[_Union[_event_pb2.Position, _Mapping]] = ..., validate_only: bool = ...) -> None: ...

class PublishResponse(_message.Message):
    __slots__ = ("receipts", "durability")
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    receipts: _containers.RepeatedCompositeFieldContainer[Receipt]
    durability: Durability
    def __init__(self, receipts: _Optional[_Iterable[_Union[Receipt, _Mapping]]] = ..., durability: _Optional[_Union[Durability, str]] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("id", "position", "duplicate")
    ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    id: str
    position: _event_pb2.Position
    duplicate: bool
    def __init__(self, id: _Optional[str] = ..., position: _Optional[_Union[_event_pb2.Position, _Mapping]] = ..., duplicate: bool = ...) -> None: ...

class PublishStreamRequest(_message.Message):
    __slots__ = ("request_id", "publish")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    publish: PublishRequest
    def __init__(self, request_id: _Optional[int] = ..., publish: _Optional[_Union[PublishRequest, _Mapping]] = ...) -> None: ...

class PublishStreamResponse(_message.Message):
    __slots__ = ("request_id", "published", "failure")
    class Failure(_message.Message):
        __slots__ = ("code", "reason", "message", "metadata", "retry_delay")
        class MetadataEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: str
            def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
        CODE_FIELD_NUMBER: _ClassVar[int]
        REASON_FIELD_NUMBER: _ClassVar[int]
        MESSAGE_FIELD_NUMBER: _ClassVar[int]
        METADATA_FIELD_NUMBER: _ClassVar[int]
        RETRY_DELAY_FIELD_NUMBER: _ClassVar[int]
        code: int
        reason: str
        message: str
        metadata: _containers.ScalarMap[str, str]
        retry_delay: _duration_pb2.Duration
        def __init__(self, code: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., retry_delay: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    published: PublishResponse
    failure: PublishStreamResponse.Failure
    def __init__(self, request_id: _Optional[int] = ..., published: _Optional[_Union[PublishResponse, _Mapping]] = ..., failure: _Optional[_Union[PublishStreamResponse.Failure, _Mapping]] = ...) -> None: ...

class SubscribeRequest(_message.Message):
    __slots__ = ("topics", "earliest", "start_time", "start_ago", "last", "resume", "filter", "view", "stop_at_end", "fail_on_gap", "client_name", "heartbeat_interval")
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    EARLIEST_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    START_AGO_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    STOP_AT_END_FIELD_NUMBER: _ClassVar[int]
    FAIL_ON_GAP_FIELD_NUMBER: _ClassVar[int]
    CLIENT_NAME_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    topics: _containers.RepeatedScalarFieldContainer[str]
    earliest: bool
    start_time: _timestamp_pb2.Timestamp
    start_ago: _duration_pb2.Duration
    last: int
    resume: _containers.RepeatedCompositeFieldContainer[_event_pb2.Position]
    filter: Filter
    view: View
    stop_at_end: bool
    fail_on_gap: bool
    client_name: str
    heartbeat_interval: _duration_pb2.Duration
    def __init__(self, topics: _Optional[_Iterable[str]] = ..., earliest: bool = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., start_ago: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., last: _Optional[int] = ..., resume: _Optional[_Iterable[_Union[_event_pb2.Position, _Mapping]]] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., view: _Optional[_Union[View, str]] = ..., stop_at_end: bool = ..., fail_on_gap: bool = ..., client_name: _Optional[str] = ..., heartbeat_interval: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Filter(_message.Message):
    __slots__ = ("types", "keys", "cel")
    TYPES_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    CEL_FIELD_NUMBER: _ClassVar[int]
    types: _containers.RepeatedScalarFieldContainer[str]
    keys: _containers.RepeatedScalarFieldContainer[str]
    cel: str
    def __init__(self, types: _Optional[_Iterable[str]] = ..., keys: _Optional[_Iterable[str]] = ..., cel: _Optional[str] = ...) -> None: ...

class SubscribeResponse(_message.Message):
    __slots__ = ("events", "opened", "heartbeat", "gap", "caught_up", "go_away")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    CAUGHT_UP_FIELD_NUMBER: _ClassVar[int]
    GO_AWAY_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[_event_pb2.Event]
    opened: Opened
    heartbeat: Heartbeat
    gap: Gap
    caught_up: CaughtUp
    go_away: GoAway
    def __init__(self, events: _Optional[_Iterable[_Union[_event_pb2.Event, _Mapping]]] = ..., opened: _Optional[_Union[Opened, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., gap: _Optional[_Union[Gap, _Mapping]] = ..., caught_up: _Optional[_Union[CaughtUp, _Mapping]] = ..., go_away: _Optional[_Union[GoAway, _Mapping]] = ...) -> None: ...

class Opened(_message.Message):
    __slots__ = ("subscription_id", "broker_id", "positions", "heartbeat_interval")
    SUBSCRIPTION_ID_FIELD_NUMBER: _ClassVar[int]
    BROKER_ID_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    subscription_id: str
    broker_id: str
    positions: _containers.RepeatedCompositeFieldContainer[_event_pb2.Position]
    heartbeat_interval: _duration_pb2.Duration
    def __init__(self, subscription_id: _Optional[str] = ..., broker_id: _Optional[str] = ..., positions: _Optional[_Iterable[_Union[_event_pb2.Position, _Mapping]]] = ..., heartbeat_interval: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("time", "positions", "buffered_events", "backend_down_since")
    TIME_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    BUFFERED_EVENTS_FIELD_NUMBER: _ClassVar[int]
    BACKEND_DOWN_SINCE_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    positions: _containers.RepeatedCompositeFieldContainer[_event_pb2.Position]
    buffered_events: int
    backend_down_since: _timestamp_pb2.Timestamp
    def __init__(self, time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., positions: _Optional[_Iterable[_Union[_event_pb2.Position, _Mapping]]] = ..., buffered_events: _Optional[int] = ..., backend_down_since: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Gap(_message.Message):
    __slots__ = ("after", "until", "missed", "reason")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[Gap.Reason]
        REASON_SLOW_CONSUMER: _ClassVar[Gap.Reason]
        REASON_BACKEND_DISCONNECT: _ClassVar[Gap.Reason]
        REASON_RETENTION: _ClassVar[Gap.Reason]
        REASON_EPOCH_CHANGED: _ClassVar[Gap.Reason]
        REASON_UNDECODABLE: _ClassVar[Gap.Reason]
    REASON_UNSPECIFIED: Gap.Reason
    REASON_SLOW_CONSUMER: Gap.Reason
    REASON_BACKEND_DISCONNECT: Gap.Reason
    REASON_RETENTION: Gap.Reason
    REASON_EPOCH_CHANGED: Gap.Reason
    REASON_UNDECODABLE: Gap.Reason
    AFTER_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    after: _event_pb2.Position
    until: _event_pb2.Position
    missed: int
    reason: Gap.Reason
    def __init__(self, after: _Optional[_Union[_event_pb2.Position, _Mapping]] = ..., until: _Optional[_Union[_event_pb2.Position, _Mapping]] = ..., missed: _Optional[int] = ..., reason: _Optional[_Union[Gap.Reason, str]] = ...) -> None: ...

class CaughtUp(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GoAway(_message.Message):
    __slots__ = ("grace", "reason")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[GoAway.Reason]
        REASON_SHUTDOWN: _ClassVar[GoAway.Reason]
        REASON_MAX_AGE: _ClassVar[GoAway.Reason]
        REASON_TOKEN_EXPIRING: _ClassVar[GoAway.Reason]
    REASON_UNSPECIFIED: GoAway.Reason
    REASON_SHUTDOWN: GoAway.Reason
    REASON_MAX_AGE: GoAway.Reason
    REASON_TOKEN_EXPIRING: GoAway.Reason
    GRACE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    grace: _duration_pb2.Duration
    reason: GoAway.Reason
    def __init__(self, grace: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., reason: _Optional[_Union[GoAway.Reason, str]] = ...) -> None: ...
