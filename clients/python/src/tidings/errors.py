"""What an error of a broker says beside its code and message."""

from __future__ import annotations

from dataclasses import dataclass, field

import grpc
import grpc.aio
from google.rpc import error_details_pb2, status_pb2

_DETAILS = "grpc-status-details-bin"
_DOMAIN = "tidings"


@dataclass(frozen=True)
class ErrorDetails:
    """The details of an error. Decide by the reason; docs/errors.md lists them."""

    #: Such as "TOPIC_NAME_INVALID"; empty where gRPC itself, and not a broker, made the error.
    reason: str = ""
    #: The dynamic parts of the reason.
    metadata: dict[str, str] = field(default_factory=dict)
    #: What is wrong with the request: the path of a field, and why.
    violations: dict[str, str] = field(default_factory=dict)
    #: Seconds to wait before trying again, where waiting helps.
    retry_after: float | None = None

    @classmethod
    def of(cls, error: grpc.RpcError) -> ErrorDetails:
        """Also of an error that carries no details."""
        # What `grpc.aio` raises has trailers, too, and shares no class with the others.
        has_trailers = isinstance(error, (grpc.Call, grpc.aio.AioRpcError))
        trailers = error.trailing_metadata() if has_trailers else None
        packed = next((value for key, value in trailers or () if key == _DETAILS), b"")
        read = {}
        for detail in status_pb2.Status.FromString(packed).details:
            info = error_details_pb2.ErrorInfo()
            request = error_details_pb2.BadRequest()
            retry = error_details_pb2.RetryInfo()
            if detail.Unpack(info) and info.domain == _DOMAIN:
                read.update(reason=info.reason, metadata=dict(info.metadata))
            elif detail.Unpack(request):
                read["violations"] = {v.field: v.description for v in request.field_violations}
            elif detail.Unpack(retry):
                read["retry_after"] = retry.retry_delay.ToTimedelta().total_seconds()
        return cls(**read)
