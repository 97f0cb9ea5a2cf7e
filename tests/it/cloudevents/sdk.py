"""The CloudEvents SDK beside a broker, on channels of one Redis.

What comes on `ours` is read and written again to `back`. Then events of its own go to `theirs`, one
after another; what comes of each on `again` has to be that event.
"""

import argparse
import json
import random
import sys
from datetime import datetime, timedelta, timezone

import redis
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

FORMAT = JSONFormat()
PATIENCE_SECONDS = 20
LETTERS = "abcXYZ 0129_-.:/+&?öß€Ω漢😀e\u0301'\"\\{}[],"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--redis", required=True)
    arguments.add_argument("--seed", type=int, required=True)
    arguments.add_argument("--count", type=int, required=True)
    arguments = arguments.parse_args()
    client = redis.Redis.from_url(arguments.redis)
    channels = client.pubsub()
    for channel in ["ours", "again"]:
        channels.subscribe(channel)
        assert channels.get_message(timeout=PATIENCE_SECONDS)["type"] == "subscribe"
    print("listening", flush=True)
    for _ in range(arguments.count):
        client.publish("back", FORMAT.write(FORMAT.read(None, heard(channels))))
    rng = random.Random(arguments.seed)
    differences = 0
    for number in range(arguments.count):
        sent = draw(rng, number)
        client.publish("theirs", FORMAT.write(sent))
        message = heard(channels)
        came = FORMAT.read(None, message)
        if told(came.get_attributes(), came.get_data()) != expected(sent):
            differences += 1
            print(f"{FORMAT.write(sent)}\nbecame {message}", flush=True)
    print(f"{arguments.count} events, {differences} differ", flush=True)
    sys.exit(differences > 0)


def heard(channels):
    message = channels.get_message(timeout=PATIENCE_SECONDS)
    assert message, "nothing came in time"
    return message["data"]


def told(attributes, data):
    """In a form in which equal means equal: 1, 1.0 and true are not."""
    data = data.hex() if isinstance(data, bytes) else json.dumps(data, sort_keys=True)
    instant = attributes["time"].astimezone(timezone.utc)
    return {**attributes, "time": instant}, type(data), data


def expected(event):
    attributes, data = dict(event.get_attributes()), event.get_data()
    for name, value in attributes.items():
        # The broker's extensions are texts, as the attributes of HTTP headers are.
        if isinstance(value, (bool, int)):
            attributes[name] = json.dumps(value)
    if data is not None and "datacontenttype" not in attributes:
        is_binary = isinstance(data, bytes)
        attributes["datacontenttype"] = "application/octet-stream" if is_binary else "application/json"
    if isinstance(data, bytes) and "json" in attributes["datacontenttype"]:
        try:
            data = json.loads(data)
        except ValueError:
            pass
    return told(attributes, data)


def draw(rng, number):
    attributes = {
        "id": f"{number} {text(rng)}",
        "source": f"/python/{number}",
        "type": rng.choice(["shop.v1.OrderPlaced", "com.example.object.deleted.v2", text(rng, 1)]),
        "time": time(rng),
    }
    for name in ["subject", "partitionkey", "traceparent", "a", "z" * 20, "0"]:
        if rng.random() < 0.4:
            attributes[name] = text(rng, 1)
    if rng.random() < 0.3:
        attributes["dataschema"] = f"https://schemas.example/{number}#ö"
    if rng.random() < 0.3:
        attributes["sampledrate"] = rng.choice([0, 7, -(2**31), 2**31 - 1, True, False])
    media_type, data = payload(rng)
    if media_type:
        attributes["datacontenttype"] = media_type
    return CloudEvent(attributes, data)


def text(rng, least=0):
    return "".join(rng.choice(LETTERS) for _ in range(rng.randint(least, 12)))


def time(rng):
    zone = timezone(timedelta(minutes=rng.choice([0, 0, 60, -330, 14 * 60])))
    fraction = rng.choice([0, 1, 120_000, 999_999, rng.randrange(1_000_000)])
    day = datetime(rng.choice([1970, 1999, 2026, 9998]), rng.randint(1, 12), rng.randint(1, 28))
    seconds = timedelta(seconds=rng.randrange(86_400), microseconds=fraction)
    return (day + seconds).replace(tzinfo=zone)


def payload(rng):
    """A media type, or none, and data, or none."""
    json_type = rng.choice(["application/json", "application/vnd.shop+json; charset=utf-8", "text/json"])
    value = structured(rng, 3)
    return rng.choice(
        [
            (None, None),
            (json_type, None),
            (json_type, value),
            (None, value),
            (json_type, json.dumps(value).encode()),
            (json_type, b"\xff{" + text(rng).encode()),
            (None, rng.randbytes(rng.randrange(30))),
            ("application/octet-stream", rng.randbytes(rng.randrange(30))),
            ("application/protobuf", rng.randbytes(rng.randrange(30))),
            ("text/plain", rng.choice([text(rng), "{}", "null", "7", ""])),
            ("text/plain; charset=utf-8", text(rng).encode()),
        ]
    )


def structured(rng, depth):
    """Never null: the SDK takes that for no data."""
    scalars = [True, False, 0, -1, 2**53 + 1, 2**70, 0.5, -1.25e-7, 1e300, "", text(rng)]
    if depth == 0 or rng.random() < 0.4:
        return rng.choice(scalars)
    inside = [structured(rng, depth - 1) for _ in range(rng.randrange(4))]
    if rng.random() < 0.5:
        return inside + [None]
    return {text(rng): value for value in inside}


main()
