"""The services of tidings.v1, made from their descriptors.

Generated stubs would demand the grpcio that they were generated with, or a newer one. These
take any channel of any grpcio: `Broker(channel).Publish(request, timeout=5)`.
"""

import grpc
import grpc.experimental
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message_factory import GetMessageClass

from tidings.v1 import admin_pb2, broker_pb2, workers_pb2

#: For every channel: a stream is then read in the thread that iterates, at less than half the CPU.
CHANNEL_OPTIONS = [(grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1)]


class _Service:
    _file: FileDescriptor

    def __init__(self, channel: grpc.Channel) -> None:
        service = self._file.services_by_name[type(self).__name__]
        for method in service.methods:
            asks = "stream" if method.client_streaming else "unary"
            answers = "stream" if method.server_streaming else "unary"
            connect = getattr(channel, f"{asks}_{answers}")
            call = connect(
                f"/{service.full_name}/{method.name}",
                request_serializer=GetMessageClass(method.input_type).SerializeToString,
                response_deserializer=GetMessageClass(method.output_type).FromString,
            )
            setattr(self, method.name, call)


class Broker(_Service):
    """Publish and subscribe."""

    _file = broker_pb2.DESCRIPTOR

    Publish: grpc.UnaryUnaryMultiCallable
    PublishStream: grpc.StreamStreamMultiCallable
    Subscribe: grpc.UnaryStreamMultiCallable


class Workers(_Service):
    """Work sharing: each event goes to one member of a group."""

    _file = workers_pb2.DESCRIPTOR

    Pull: grpc.UnaryUnaryMultiCallable
    Settle: grpc.UnaryUnaryMultiCallable


class Admin(_Service):
    """Topics, the groups on them, and what a broker is."""

    _file = admin_pb2.DESCRIPTOR

    GetServerInfo: grpc.UnaryUnaryMultiCallable
    CreateTopic: grpc.UnaryUnaryMultiCallable
    GetTopic: grpc.UnaryUnaryMultiCallable
    ListTopics: grpc.UnaryUnaryMultiCallable
    UpdateTopic: grpc.UnaryUnaryMultiCallable
    DeleteTopic: grpc.UnaryUnaryMultiCallable
    GetGroup: grpc.UnaryUnaryMultiCallable
    ListGroups: grpc.UnaryUnaryMultiCallable
    UpdateGroup: grpc.UnaryUnaryMultiCallable
    SeekGroup: grpc.UnaryUnaryMultiCallable
    DeleteGroup: grpc.UnaryUnaryMultiCallable


class Schemas(_Service):
    """The types of events."""

    _file = admin_pb2.DESCRIPTOR

    RegisterSchema: grpc.UnaryUnaryMultiCallable
    GetSchema: grpc.UnaryUnaryMultiCallable
    ListSchemas: grpc.UnaryUnaryMultiCallable
    DeleteSchema: grpc.UnaryUnaryMultiCallable
