"""The order service: publishes an OrderPlaced for each order, typed, or as JSON with --json."""

import argparse
import itertools
import json
import os
import sys
import time
import uuid

import grpc
from orders_pb2 import OrderPlaced

import tidings
from tidings.v1.broker_pb2 import PublishRequest
from tidings.v1.event_pb2 import Event

#: The broker says that the event does not exist, and may take it the next time.
NOT_STORED = {
    "BACKEND_FAILOVER",
    "BACKEND_FULL",
    "BACKEND_TIMEOUT",
    "BACKEND_UNAVAILABLE",
    "BROKER_DRAINING",
    "RATE_LIMITED",
}
#: Where gRPC itself gave up, a broker may have stored the event before it, or its answer, got lost.
LOST = {
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.UNKNOWN,
}
PATIENCE = 60  # seconds for one order


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    address = os.environ.get("TIDINGS_ADDRESS", "127.0.0.1:7070")
    parser.add_argument("--address", default=address, help="brokers, divided by commas")
    parser.add_argument("--topic", default="order_events")
    parser.add_argument("--order", type=int, default=1001, help="number of the first order")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--pause", type=float, default=0, help="seconds between two orders")
    parser.add_argument("--json", action="store_true", help="for who does not read protobuf yet")
    args = parser.parse_args()
    addresses = args.address.split(",")
    for number in range(args.order, args.order + args.count):
        order = OrderPlaced(
            order_id=str(number),
            customer="ann@example.com",
            items=[OrderPlaced.Item(sku="tea-500g", quantity=2)],
            total=1980,
            currency="EUR",
        )
        request = PublishRequest(topic=args.topic, events=[event(order, args.json)])
        (receipt,) = publish(addresses, request).receipts
        told = {"order_id": order.order_id, "sequence": receipt.position.sequence}
        print(json.dumps(told, separators=(",", ":")), flush=True)
        time.sleep(args.pause)


def event(order: OrderPlaced, as_json: bool) -> Event:
    made = Event(
        # With an id of our own, whoever reads the topic can tell a second attempt from a second order.
        id=str(uuid.uuid4()),
        source="/shop/order-service",
        type="shop.v1.OrderPlaced",
        subject=f"order/{order.order_id}",
        key=order.order_id,
    )
    if as_json:
        made.data_content_type = "application/json"
        made.text = json.dumps(
            {
                "event": "order_placed",
                "order_id": order.order_id,
                "customer": order.customer,
                "items": [{"sku": item.sku, "quantity": item.quantity} for item in order.items],
                "total": order.total,
                "currency": order.currency,
            }
        )
    else:
        made.data_content_type = "application/protobuf"
        made.data = order.SerializeToString()
    return made


def publish(addresses: list[str], request: PublishRequest):
    """Tries one broker after the other, for as long as that can help."""
    give_up = time.monotonic() + PATIENCE
    for attempt in itertools.count(1):
        try:
            with grpc.insecure_channel(addresses[0]) as channel:
                return tidings.Broker(channel).Publish(request, timeout=5)
        except grpc.RpcError as error:
            reason = tidings.ErrorDetails.of(error).reason
            told = f"{reason or error.code().name}: {error.details()}"
            lost = reason == "OUTCOME_UNKNOWN" or (not reason and error.code() in LOST)
            if not lost and reason not in NOT_STORED or time.monotonic() > give_up:
                sys.exit(f"order: {told}")
        state = "stored or not" if lost else "not stored"
        print(f"order: {state}: {told}; publishing again", file=sys.stderr, flush=True)
        addresses.append(addresses.pop(0))
        if attempt % len(addresses) == 0:
            time.sleep(0.5)


if __name__ == "__main__":
    main()
