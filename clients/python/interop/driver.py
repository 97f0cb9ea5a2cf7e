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
            say(check=name, **outcome(CHECKS[name], broker, f"interop_{name}_{uuid.uuid4().hex}"))


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


# ---- the checks: each says what it saw, or raises ----


def publish(broker, topic) -> str:
    proto = Any()
    proto.Pack(StringValue(value="four"))
    events = {
        "text": Event(text="one"),
        "bytes": Event(data=b"\x00\xfftwo"),
        "json": Event(json=Value(number_value=3)),
        "proto": Event(proto=proto),
    }
    places = []
    for kind, event in events.items():
        (receipt,) = broker.Publish(PublishRequest(topic=topic, events=[event])).receipts
        at = receipt.position
        expect(receipt.id and at.topic == topic and at.epoch, f"{kind}: {receipt}")
        places.append((at.epoch, at.sequence))
    epoch, first = places[0]
    expect(places == [(epoch, first + n) for n in range(4)], f"not rising by one: {places}")
    return f"{', '.join(events)}: sequences {first} to {first + 3}"


def subscribe(broker, topic) -> str:
    sent = [
        Event(text=f"number {n} ✓", type="interop.Numbered", subject=str(n), extensions={"n": str(n)})
        for n in range(100)
    ]
    frames = opened(broker, topic)
    for event in sent:
        broker.Publish(PublishRequest(topic=topic, events=[event]))
    for number, (expected, event) in enumerate(zip(sent, events_of(frames))):
        for name in ("text", "type", "subject", "extensions"):
            found = getattr(event, name)
            expect(found == getattr(expected, name), f"event {number}: {name} is {found!r}")
    frames.cancel()
    return "Opened, then 100 events in order, text and attributes intact"


def error_details(broker, topic) -> str:
    try:
        broker.Publish(PublishRequest(topic="a b", events=[Event(text="?")]))
    except grpc.RpcError as error:
        details = tidings.ErrorDetails.of(error)
        expect(error.code() is grpc.StatusCode.INVALID_ARGUMENT, error.code())
        expect(details.reason == "TOPIC_NAME_INVALID" and "topic" in details.violations, details)
        return f"{details.reason}, topic: {details.violations['topic']}"
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
        return f"DEADLINE_EXCEEDED after {took:.2f} s"
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
    else:
        raise AssertionError("it ended with OK")
    frames = opened(broker, topic)
    broker.Publish(PublishRequest(topic=topic, events=[Event(text="again")]))
    expect(next(events_of(frames)).text == "again", "another event came")
    frames.cancel()
    return f"ended after {took * 1000:.0f} ms, and a new subscription works"


def gzip(broker, topic) -> str:
    text = "".join(f"{n:08x}" for n in range(100 * 1024 // 8))
    frames = opened(broker, topic)
    request = PublishRequest(topic=topic, events=[Event(text=text)])
    broker.Publish(request, compression=grpc.Compression.Gzip)
    expect(next(events_of(frames)).text == text, "the text changed")
    frames.cancel()
    return f"{len(text)} bytes of text intact"


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
    frames = opened(broker, topic)
    say(opened=True)
    events = missed = size = 0
    in_order, last = True, None
    for frame in frames:
        if frame.HasField("gap"):
            missed += frame.gap.missed if frame.gap.HasField("missed") else wanted
        if not events:
            begun, cpu_begun = time.monotonic(), time.process_time()
        for event in frame.events:
            at = event.position
            if last is not None:
                in_order = in_order and (at.epoch, at.sequence) == (last[0], last[1] + 1)
            last = (at.epoch, at.sequence)
            payload = event.text.encode() if event.HasField("text") else event.data
            size += len(payload)
            events += 1
        if events + missed >= wanted:
            break
    else:
        raise SystemExit(f"the stream ended after {events} events")
    seconds, cpu_seconds = time.monotonic() - begun, time.process_time() - cpu_begun
    frames.cancel()
    say(
        events=events,
        in_order=in_order and not missed,
        bytes=size,
        seconds=round(seconds, 3),
        cpu_seconds=round(cpu_seconds, 3),
    )


if __name__ == "__main__":
    main()
