from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from tidings.v1 import broker_pb2 as _broker_pb2
from tidings.v1 import event_pb2 as _event_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Compatibility(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMPATIBILITY_UNSPECIFIED: _ClassVar[Compatibility]
    COMPATIBILITY_NONE: _ClassVar[Compatibility]
    COMPATIBILITY_BACKWARD: _ClassVar[Compatibility]
    COMPATIBILITY_FORWARD: _ClassVar[Compatibility]
    COMPATIBILITY_FULL: _ClassVar[Compatibility]
COMPATIBILITY_UNSPECIFIED: Compatibility
COMPATIBILITY_NONE: Compatibility
COMPATIBILITY_BACKWARD: Compatibility
COMPATIBILITY_FORWARD: Compatibility
COMPATIBILITY_FULL: Compatibility

class Topic(_message.Message):
    __slots__ = ("name", "mode", "retention", "dedupe_window", "schema", "bridge", "default_type", "labels", "etag", "replicas", "auto_created", "state")
    class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MODE_UNSPECIFIED: _ClassVar[Topic.Mode]
        MODE_LIVE: _ClassVar[Topic.Mode]
        MODE_DURABLE: _ClassVar[Topic.Mode]
    MODE_UNSPECIFIED: Topic.Mode
    MODE_LIVE: Topic.Mode
    MODE_DURABLE: Topic.Mode
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    RETENTION_FIELD_NUMBER: _ClassVar[int]
    DEDUPE_WINDOW_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    BRIDGE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_TYPE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    AUTO_CREATED_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    name: str
    mode: Topic.Mode
    retention: Retention
    dedupe_window: _duration_pb2.Duration
    schema: SchemaPolicy
    bridge: Bridge
    default_type: str
    labels: _containers.ScalarMap[str, str]
    etag: str
    replicas: int
    auto_created: bool
    state: TopicState
    def __init__(self, name: _Optional[str] = ..., mode: _Optional[_Union[Topic.Mode, str]] = ..., retention: _Optional[_Union[Retention, _Mapping]] = ..., dedupe_window: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., schema: _Optional[_Union[SchemaPolicy, _Mapping]] = ..., bridge: _Optional[_Union[Bridge, _Mapping]] = ..., default_type: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., etag: _Optional[str] = ..., replicas: _Optional[int] = ..., auto_created: bool = ..., state: _Optional[_Union[TopicState, _Mapping]] = ...) -> None: ...

class Retention(_message.Message):
    __slots__ = ("max_events", "max_bytes", "max_age")
    MAX_EVENTS_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_FIELD_NUMBER: _ClassVar[int]
    max_events: int
    max_bytes: int
    max_age: _duration_pb2.Duration
    def __init__(self, max_events: _Optional[int] = ..., max_bytes: _Optional[int] = ..., max_age: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Bridge(_message.Message):
    __slots__ = ("channel", "mode")
    class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MODE_UNSPECIFIED: _ClassVar[Bridge.Mode]
        MODE_OFF: _ClassVar[Bridge.Mode]
        MODE_LISTEN: _ClassVar[Bridge.Mode]
        MODE_RAW: _ClassVar[Bridge.Mode]
        MODE_CLOUDEVENTS_JSON: _ClassVar[Bridge.Mode]
    MODE_UNSPECIFIED: Bridge.Mode
    MODE_OFF: Bridge.Mode
    MODE_LISTEN: Bridge.Mode
    MODE_RAW: Bridge.Mode
    MODE_CLOUDEVENTS_JSON: Bridge.Mode
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    channel: str
    mode: Bridge.Mode
    def __init__(self, channel: _Optional[str] = ..., mode: _Optional[_Union[Bridge.Mode, str]] = ...) -> None: ...

class TopicState(_message.Message):
    __slots__ = ("first", "last", "bytes", "local_subscribers")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    LOCAL_SUBSCRIBERS_FIELD_NUMBER: _ClassVar[int]
    first: _event_pb2.Position
    last: _event_pb2.Position
    bytes: int
    local_subscribers: int
    def __init__(self, first: _Optional[_Union[_event_pb2.Position, _Mapping]] = ..., last: _Optional[_Union[_event_pb2.Position, _Mapping]] = ..., bytes: _Optional[int] = ..., local_subscribers: _Optional[int] = ...) -> None: ...

class SchemaPolicy(_message.Message):
    __slots__ = ("enforcement", "types")
    class Enforcement(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ENFORCEMENT_UNSPECIFIED: _ClassVar[SchemaPolicy.Enforcement]
        ENFORCEMENT_OFF: _ClassVar[SchemaPolicy.Enforcement]
        ENFORCEMENT_WARN: _ClassVar[SchemaPolicy.Enforcement]
        ENFORCEMENT_REJECT: _ClassVar[SchemaPolicy.Enforcement]
    ENFORCEMENT_UNSPECIFIED: SchemaPolicy.Enforcement
    ENFORCEMENT_OFF: SchemaPolicy.Enforcement
    ENFORCEMENT_WARN: SchemaPolicy.Enforcement
    ENFORCEMENT_REJECT: SchemaPolicy.Enforcement
    ENFORCEMENT_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    enforcement: SchemaPolicy.Enforcement
    types: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, enforcement: _Optional[_Union[SchemaPolicy.Enforcement, str]] = ..., types: _Optional[_Iterable[str]] = ...) -> None: ...

class Group(_message.Message):
    __slots__ = ("topic", "name", "lease", "max_attempts", "backoff", "dead_letter_topic", "ordered_by_key", "paused", "etag", "backlog", "in_flight", "oldest_unsettled_time")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_TOPIC_FIELD_NUMBER: _ClassVar[int]
    ORDERED_BY_KEY_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    BACKLOG_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    OLDEST_UNSETTLED_TIME_FIELD_NUMBER: _ClassVar[int]
    topic: str
    name: str
    lease: _duration_pb2.Duration
    max_attempts: int
    backoff: _containers.RepeatedCompositeFieldContainer[_duration_pb2.Duration]
    dead_letter_topic: str
    ordered_by_key: bool
    paused: bool
    etag: str
    backlog: int
    in_flight: int
    oldest_unsettled_time: _timestamp_pb2.Timestamp
    def __init__(self, topic: _Optional[str] = ..., name: _Optional[str] = ..., lease: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., max_attempts: _Optional[int] = ..., backoff: _Optional[_Iterable[_Union[_duration_pb2.Duration, _Mapping]]] = ..., dead_letter_topic: _Optional[str] = ..., ordered_by_key: bool = ..., paused: bool = ..., etag: _Optional[str] = ..., backlog: _Optional[int] = ..., in_flight: _Optional[int] = ..., oldest_unsettled_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("version", "broker_id", "backend", "durability", "warnings", "max_event_bytes", "max_request_bytes")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BROKER_ID_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    MAX_EVENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    version: str
    broker_id: str
    backend: str
    durability: _broker_pb2.Durability
    warnings: _containers.RepeatedScalarFieldContainer[str]
    max_event_bytes: int
    max_request_bytes: int
    def __init__(self, version: _Optional[str] = ..., broker_id: _Optional[str] = ..., backend: _Optional[str] = ..., durability: _Optional[_Union[_broker_pb2.Durability, str]] = ..., warnings: _Optional[_Iterable[str]] = ..., max_event_bytes: _Optional[int] = ..., max_request_bytes: _Optional[int] = ...) -> None: ...

class CreateTopicRequest(_message.Message):
    __slots__ = ("topic",)
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    topic: Topic
    def __init__(self, topic: _Optional[_Union[Topic, _Mapping]] = ...) -> None: ...

class GetTopicRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListTopicsRequest(_message.Message):
    __slots__ = ("pattern", "page_size", "page_token")
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    pattern: str
    page_size: int
    page_token: str
    def __init__(self, pattern: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTopicsResponse(_message.Message):
    __slots__ = ("topics", "next_page_token")
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    topics: _containers.RepeatedCompositeFieldContainer[Topic]
    next_page_token: str
    def __init__(self, topics: _Optional[_Iterable[_Union[Topic, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateTopicRequest(_message.Message):
    __slots__ = ("topic", "update_mask")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    topic: Topic
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, topic: _Optional[_Union[Topic, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class DeleteTopicRequest(_message.Message):
    __slots__ = ("name", "etag", "force")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    force: bool
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ..., force: bool = ...) -> None: ...

class DeleteTopicResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetGroupRequest(_message.Message):
    __slots__ = ("topic", "name")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    topic: str
    name: str
    def __init__(self, topic: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class ListGroupsRequest(_message.Message):
    __slots__ = ("topic", "page_size", "page_token")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    topic: str
    page_size: int
    page_token: str
    def __init__(self, topic: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListGroupsResponse(_message.Message):
    __slots__ = ("groups", "next_page_token")
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedCompositeFieldContainer[Group]
    next_page_token: str
    def __init__(self, groups: _Optional[_Iterable[_Union[Group, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateGroupRequest(_message.Message):
    __slots__ = ("group", "update_mask", "allow_missing")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    ALLOW_MISSING_FIELD_NUMBER: _ClassVar[int]
    group: Group
    update_mask: _field_mask_pb2.FieldMask
    allow_missing: bool
    def __init__(self, group: _Optional[_Union[Group, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., allow_missing: bool = ...) -> None: ...

class SeekGroupRequest(_message.Message):
    __slots__ = ("topic", "name", "position", "time", "earliest", "latest")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    EARLIEST_FIELD_NUMBER: _ClassVar[int]
    LATEST_FIELD_NUMBER: _ClassVar[int]
    topic: str
    name: str
    position: _event_pb2.Position
    time: _timestamp_pb2.Timestamp
    earliest: bool
    latest: bool
    def __init__(self, topic: _Optional[str] = ..., name: _Optional[str] = ..., position: _Optional[_Union[_event_pb2.Position, _Mapping]] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., earliest: bool = ..., latest: bool = ...) -> None: ...

class DeleteGroupRequest(_message.Message):
    __slots__ = ("topic", "name")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    topic: str
    name: str
    def __init__(self, topic: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class DeleteGroupResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Schema(_message.Message):
    __slots__ = ("type", "descriptors", "sources", "compatibility", "version", "fingerprint", "create_time")
    class SourcesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTORS_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    COMPATIBILITY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    type: str
    descriptors: _descriptor_pb2.FileDescriptorSet
    sources: _containers.ScalarMap[str, str]
    compatibility: Compatibility
    version: int
    fingerprint: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, type: _Optional[str] = ..., descriptors: _Optional[_Union[_descriptor_pb2.FileDescriptorSet, _Mapping]] = ..., sources: _Optional[_Mapping[str, str]] = ..., compatibility: _Optional[_Union[Compatibility, str]] = ..., version: _Optional[int] = ..., fingerprint: _Optional[str] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RegisterSchemaRequest(_message.Message):
    __slots__ = ("schema", "validate_only", "force")
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    schema: Schema
    validate_only: bool
    force: bool
    def __init__(self, schema: _Optional[_Union[Schema, _Mapping]] = ..., validate_only: bool = ..., force: bool = ...) -> None: ...

class GetSchemaRequest(_message.Message):
    __slots__ = ("type", "version")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    type: str
    version: int
    def __init__(self, type: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class ListSchemasRequest(_message.Message):
    __slots__ = ("pattern", "page_size", "page_token")
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    pattern: str
    page_size: int
    page_token: str
    def __init__(self, pattern: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSchemasResponse(_message.Message):
    __slots__ = ("schemas", "next_page_token")
    SCHEMAS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    schemas: _containers.RepeatedCompositeFieldContainer[Schema]
    next_page_token: str
    def __init__(self, schemas: _Optional[_Iterable[_Union[Schema, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteSchemaRequest(_message.Message):
    __slots__ = ("type", "force")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    type: str
    force: bool
    def __init__(self, type: _Optional[str] = ..., force: bool = ...) -> None: ...

class DeleteSchemaResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
