"""The inventory service as many teams have it today: a loop over pubsub.listen()."""

import argparse
import json
import os
import sys

import redis

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--redis", default=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"))
parser.add_argument("--channel", default="order_events")
parser.add_argument("--count", type=int, default=0, help="end after so many messages")
args = parser.parse_args()

client = redis.Redis.from_url(args.redis, decode_responses=True)
pubsub = client.pubsub()
pubsub.subscribe(args.channel)

received = 0
for message in pubsub.listen():
    if message["type"] == "subscribe":
        print(f"inventory: listening on {message['channel']}", file=sys.stderr, flush=True)
        continue
    try:
        data = json.loads(message["data"])
    except ValueError:
        data = message["data"]
    print(json.dumps({"service": "inventory", "channel": message["channel"], "data": data}), flush=True)
    received += 1
    if received == args.count:
        break
pubsub.close()
