"""What a test harness drives to see that this client and a broker understand each other.

    driver.py checks --target HOST:PORT [--only NAME]
    driver.py receive --target HOST:PORT --topic T --events N

Both print one JSON object a line.
"""

import argparse
import json
import threading
import time
import uuid

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import StringValue

import tidings
from tidings.v1.broker_pb2 import PublishRequest, SubscribeRequest
from tidings.v1.event_pb2 import Event

PATIENCE = 20  # seconds for one check


def main() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("checks")
    command.add_argument("--target", required=True)
    command.add_argument("--only", choices=CHECKS)
    command = commands.add_parser("receive")
    command.add_argument("--target", required=True)
    command.add_argument("--topic", required=True)
    command.add_argument("--events", type=int, required=True)
    args = parser.parse_args()
    with grpc.insecure_channel(args.target, tidings.CHANNEL_OPTIONS) as channel:
        broker = tidings.Broker(channel)
        if args.command == "receive":
            receive(broker, args.topic, args.events)
            return
        for name in [args.only] if args.only else CHECKS:
            say(check=name, **outcome(CHECKS[name], broker, f"interop.python.{name}.{uuid.uuid4().hex}"))


def say(**fields) -> None:
    print(json.dumps(fields, separators=(",", ":")), flush=True)


def outcome(check, broker, topic) -> dict:
    """Runs the check in a thread of its own: one that hangs must not keep the others."""
    told = {"ok": False, "detail": f"no end within {PATIENCE} s"}

    def run():
        try:
            told.update(ok=True, detail=check(broker, topic))
        except Exception as error:
            told.update(ok=False, detail=f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return dict(told)


def expect(holds, found) -> None:
    if not holds:
        raise AssertionError(found)


# ---- the checks: each says what it saw, in the words that every language uses, or raises ----


def publish(broker, topic) -> str:
    proto = Any()
    proto.Pack(StringValue(value="four"))
    events = {
        "text": Event(text="one"),
        "data": Event(data=b"\x00\xff\x02"),
        "json": Event(json=Value(number_value=3)),
        "proto": Event(proto=proto),
    }
    for number, (kind, event) in enumerate(events.items(), 1):
        (receipt,) = broker.Publish(PublishRequest(topic=topic, events=[event])).receipts
        at = receipt.position
        expect(at.topic == topic and at.epoch and at.sequence == number, f"{kind}: {receipt}")
    return ", ".join(events)


def subscribe(broker, topic) -> str:
    sent = [numbered(number) for number in range(100)]
    frames = opened(broker, topic)
    for event in sent:
        broker.Publish(PublishRequest(topic=topic, events=[event]))
    for number, (expected, event) in enumerate(zip(sent, events_of(frames))):
        # What is left is what was sent.
        event.ClearField("position")
        event.ClearField("publish_time")
        expect(event == expected, f"event {number}: {event}")
    frames.cancel()
    return f"{number + 1} events"


def numbered(number) -> Event:
    return Event(
        id=f"id-{number}",
        source="/interop",
        type="interop.v1.Numbered",
        subject=f"number/{number}",
        time=Timestamp(seconds=1_700_000_000 + number, nanos=123_456_000),
        data_content_type="text/plain; charset=utf-8",
        key=f"key-{number % 7}",
        extensions={"language": "python"},
        text=f"grüße {number} 🎉",
    )


def error_details(broker, topic) -> str:
    try:
        broker.Publish(PublishRequest(topic="a b", events=[Event(text="?")]))
    except grpc.RpcError as error:
        details = tidings.ErrorDetails.of(error)
        expect(error.code() is grpc.StatusCode.INVALID_ARGUMENT, error.code())
        expect(list(details.violations) == ["topic"], details)
        return f"{error.code().name}, {details.reason}, topic"
    raise AssertionError("it was accepted")


def deadline(broker, topic) -> str:
    begun = time.monotonic()
    try:
        for _ in broker.Subscribe(SubscribeRequest(topics=[topic]), timeout=1):
            pass
    except grpc.RpcError as error:
        took = time.monotonic() - begun
        expect(error.code() is grpc.StatusCode.DEADLINE_EXCEEDED, error.code())
        expect(took < 3, f"after {took:.1f} s")
        return error.code().name
    raise AssertionError("it ended with OK")


def cancel(broker, topic) -> str:
    frames = opened(broker, topic)
    begun = time.monotonic()
    # From another thread, as a program does that waits for events.
    threading.Timer(0.2, frames.cancel).start()
    try:
        for _ in frames:
            pass
    except grpc.RpcError as error:
        took = time.monotonic() - begun - 0.2
        expect(error.code() is grpc.StatusCode.CANCELLED, error.code())
        expect(took < 1, f"after {took:.1f} s")
        seen = error.code().name
    else:
        raise AssertionError("it ended with OK")
    frames = opened(broker, topic)
    broker.Publish(PublishRequest(topic=topic, events=[Event(text="again")]))
    expect(next(events_of(frames)).text == "again", "another event came")
    frames.cancel()
    return seen


def gzip(broker, topic) -> str:
    text = "0123456789abcdef" * 6400
    frames = opened(broker, topic)
    request = PublishRequest(topic=topic, events=[Event(text=text)])
    broker.Publish(request, compression=grpc.Compression.Gzip)
    expect(next(events_of(frames)).text == text, "the text changed")
    frames.cancel()
    return f"{len(text)} bytes"


CHECKS = {
    check.__name__: check for check in (publish, subscribe, error_details, deadline, cancel, gzip)
}


def opened(broker, topic):
    """A stream whose first frame, Opened, has come: what is published from now on is delivered."""
    frames = broker.Subscribe(SubscribeRequest(topics=[topic]))
    first = next(frames)
    expect(first.HasField("opened"), f"the first frame is {first}")
    return frames


def events_of(frames):
    for frame in frames:
        expect(not frame.HasField("gap"), f"a gap: {frame.gap}")
        yield from frame.events


# ---- receive ----


def receive(broker, topic, wanted) -> None:
    stream = opened(broker, topic)
    say(opened=True)
    events = frames = size = 0
    in_order, last = True, None
    for frame in stream:
        if frame.HasField("gap"):
            raise SystemExit(f"a gap after {events} events: {frame.gap}")
        if not frame.events:
            continue
        if not events:
            begun, cpu_begun = time.monotonic(), time.process_time()
        frames += 1
        for event in frame.events:
            at = event.position
            if last is not None:
                in_order = in_order and (at.epoch, at.sequence) == (last[0], last[1] + 1)
            last = (at.epoch, at.sequence)
            payload = event.text.encode() if event.HasField("text") else event.data
            size += len(payload)
            events += 1
        if events >= wanted:
            break
    else:
        raise SystemExit(f"the stream ended after {events} events")
    seconds, cpu_seconds = time.monotonic() - begun, time.process_time() - cpu_begun
    stream.cancel()
    say(
        events=events,
        frames=frames,
        in_order=in_order,
        bytes=size,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
    )


if __name__ == "__main__":
    main()
