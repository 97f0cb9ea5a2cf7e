"""The notification service as many teams have it today: a handler that runs in a thread."""

import argparse
import json
import os
import sys
import threading
import time

import redis

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--redis", default=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"))
parser.add_argument("--channel", default="order_events")
parser.add_argument("--count", type=int, default=0, help="end after so many messages")
args = parser.parse_args()

done = threading.Event()
received = 0


def handle(message):
    global received
    try:
        data = json.loads(message["data"])
    except ValueError:
        data = message["data"]
    if args.count and received >= args.count:
        return
    print(json.dumps({"service": "notification", "channel": message["channel"], "data": data}), flush=True)
    received += 1
    if received == args.count:
        done.set()


client = redis.Redis.from_url(args.redis, decode_responses=True)
pubsub = client.pubsub()
pubsub.subscribe(**{args.channel: handle})
# The confirmation is the first thing that comes; from then on nothing is missed.
while pubsub.get_message(timeout=1.0) is None:
    time.sleep(0.01)
print(f"notification: listening on {args.channel}", file=sys.stderr, flush=True)
thread = pubsub.run_in_thread(sleep_time=0.01)
try:
    done.wait()
except KeyboardInterrupt:
    pass
thread.stop()
thread.join(timeout=2)
