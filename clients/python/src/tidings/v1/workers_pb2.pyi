from google.protobuf import duration_pb2 as _duration_pb2
from tidings.v1 import broker_pb2 as _broker_pb2
from tidings.v1 import event_pb2 as _event_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PullRequest(_message.Message):
    __slots__ = ("topic", "group", "max_events", "wait", "lease", "view", "client_name")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    MAX_EVENTS_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    CLIENT_NAME_FIELD_NUMBER: _ClassVar[int]
    topic: str
    group: str
    max_events: int
    wait: _duration_pb2.Duration
    lease: _duration_pb2.Duration
    view: _broker_pb2.View
    client_name: str
    def __init__(self, topic: _Optional[str] = ..., group: _Optional[str] = ..., max_events: _Optional[int] = ..., wait: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., lease: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., view: _Optional[_Union[_broker_pb2.View, str]] = ..., client_name: _Optional[str] = ...) -> None: ...

class PullResponse(_message.Message):
    __slots__ = ("deliveries", "gap")
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    deliveries: _containers.RepeatedCompositeFieldContainer[Delivery]
    gap: _broker_pb2.Gap
    def __init__(self, deliveries: _Optional[_Iterable[_Union[Delivery, _Mapping]]] = ..., gap: _Optional[_Union[_broker_pb2.Gap, _Mapping]] = ...) -> None: ...

class Delivery(_message.Message):
    __slots__ = ("token", "event", "attempt", "lease")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    token: str
    event: _event_pb2.Event
    attempt: int
    lease: _duration_pb2.Duration
    def __init__(self, token: _Optional[str] = ..., event: _Optional[_Union[_event_pb2.Event, _Mapping]] = ..., attempt: _Optional[int] = ..., lease: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class SettleRequest(_message.Message):
    __slots__ = ("ack", "nack", "release", "extend")
    ACK_FIELD_NUMBER: _ClassVar[int]
    NACK_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    EXTEND_FIELD_NUMBER: _ClassVar[int]
    ack: _containers.RepeatedScalarFieldContainer[str]
    nack: _containers.RepeatedCompositeFieldContainer[Nack]
    release: _containers.RepeatedScalarFieldContainer[str]
    extend: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ack: _Optional[_Iterable[str]] = ..., nack: _Optional[_Iterable[_Union[Nack, _Mapping]]] = ..., release: _Optional[_Iterable[str]] = ..., extend: _Optional[_Iterable[str]] = ...) -> None: ...

class Nack(_message.Message):
    __slots__ = ("token", "delay", "dead_letter", "reason")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    DELAY_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    token: str
    delay: _duration_pb2.Duration
    dead_letter: bool
    reason: str
    def __init__(self, token: _Optional[str] = ..., delay: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., dead_letter: bool = ..., reason: _Optional[str] = ...) -> None: ...

class SettleResponse(_message.Message):
    __slots__ = ("failures",)
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[SettleResponse.Reason]
        REASON_LEASE_LOST: _ClassVar[SettleResponse.Reason]
        REASON_ALREADY_SETTLED: _ClassVar[SettleResponse.Reason]
        REASON_INVALID_TOKEN: _ClassVar[SettleResponse.Reason]
    REASON_UNSPECIFIED: SettleResponse.Reason
    REASON_LEASE_LOST: SettleResponse.Reason
    REASON_ALREADY_SETTLED: SettleResponse.Reason
    REASON_INVALID_TOKEN: SettleResponse.Reason
    class Failure(_message.Message):
        __slots__ = ("token", "reason")
        TOKEN_FIELD_NUMBER: _ClassVar[int]
        REASON_FIELD_NUMBER: _ClassVar[int]
        token: str
        reason: SettleResponse.Reason
        def __init__(self, token: _Optional[str] = ..., reason: _Optional[_Union[SettleResponse.Reason, str]] = ...) -> None: ...
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    failures: _containers.RepeatedCompositeFieldContainer[SettleResponse.Failure]
    def __init__(self, failures: _Optional[_Iterable[_Union[SettleResponse.Failure, _Mapping]]] = ...) -> None: ...
