"""The order service as many teams have it today: JSON text on a Redis channel."""

import argparse
import json
import os

import redis

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--redis", default=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"))
parser.add_argument("--channel", default="order_events")
parser.add_argument("--order", default="1001", help="number of the first order")
parser.add_argument("--count", type=int, default=1)
parser.add_argument("--text", help="publish this text as it is, instead of an order")
args = parser.parse_args()

client = redis.Redis.from_url(args.redis)
for number in range(args.count):
    order = {
        "event": "order_placed",
        "order_id": str(int(args.order) + number),
        "customer": "ann@example.com",
        "items": [{"sku": "tea-500g", "quantity": 2}],
        "total": 1980,
        "currency": "EUR",
    }
    message = args.text if args.text is not None else json.dumps(order)
    receivers = client.publish(args.channel, message)
    print(json.dumps({"published": message, "receivers": receivers}), flush=True)
