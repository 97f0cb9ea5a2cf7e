"""Tidings: typed events over gRPC, on Redis.

The messages are in `tidings.v1`; here are the services and the details of errors.
"""

from tidings.errors import ErrorDetails
from tidings.services import CHANNEL_OPTIONS, Admin, Broker, Schemas, Workers

__all__ = ["CHANNEL_OPTIONS", "Admin", "Broker", "ErrorDetails", "Schemas", "Workers"]
