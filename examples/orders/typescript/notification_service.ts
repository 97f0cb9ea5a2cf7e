/** The notification service: writes to the customer of each order that was placed. */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { fromBinary } from "@bufbuild/protobuf";
import {
  Broker,
  Code,
  ConnectError,
  createClient,
  Gap_Reason,
  type Event,
  type Position,
  type SubscribeResponse,
} from "@tidings/client";
import { transport } from "@tidings/client/node";
import { OrderPlacedSchema } from "./generated/orders_pb.js";

/** A stream that ends so may do better the next time. */
const PASSING = [
  Code.Unavailable,
  Code.Internal,
  Code.Unknown,
  Code.ResourceExhausted,
  Code.DeadlineExceeded,
  Code.Aborted,
  Code.Canceled,
];

/** Twice the broker's heartbeat interval: a stream that is silent for longer is dead. */
const SILENCE_MS = 30_000;

const { values: args } = parseArgs({
  options: {
    address: { type: "string", default: process.env["TIDINGS_ADDRESS"] ?? "127.0.0.1:7070" },
    topic: { type: "string", default: "order_events" },
    count: { type: "string", default: "0" },
  },
});
const addresses = args.address.split(",");
const count = Number(args.count);

/** The last place that was reached: nothing after it is missed without a word. */
let resume: Position[] = [];
let handled = 0;
let listening = false;

process.on("SIGTERM", () => process.exit());

for (let attempt = 0; ; attempt++) {
  const broker = transport(addresses[attempt % addresses.length]!);
  try {
    await follow(createClient(Broker, broker));
    if (count > 0 && handled === count) break;
    console.error("notification: the stream ended; trying again");
  } catch (error) {
    const { code, message } = ConnectError.from(error);
    if (!PASSING.includes(code)) throw error;
    console.error(`notification: ${message}; trying again`);
  } finally {
    broker.close();
  }
  await pause(500);
}

/** Until the stream ends, or the broker asks to go elsewhere, or the count is reached. */
async function follow(broker: ReturnType<typeof createClient<typeof Broker>>) {
  const request = { topics: [args.topic], resume, clientName: "notification" };
  const silence = new AbortController();
  const alive = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    for await (const frame of broker.subscribe(request, { signal: silence.signal })) {
      alive.refresh();
      if (!handle(frame)) return;
    }
  } finally {
    clearTimeout(alive);
  }
}

/** Whether to read on. */
function handle({ control, events }: SubscribeResponse): boolean {
  for (const event of events) {
    // Sequence 0 came from a raw Redis client and is no place to go on from.
    if (event.position?.sequence) resume = [event.position];
    report(event);
    handled += 1;
    if (handled === count) return false;
  }
  switch (control.case) {
    case "opened":
      if (!listening) console.error(`notification: listening on ${args.topic}`);
      listening = true;
      resume = control.value.positions;
      break;
    case "gap":
      const { missed, reason, until } = control.value;
      console.error(`notification: missed ${missed ?? "some"} events: ${Gap_Reason[reason]}`);
      resume = until ? [until] : [];
      break;
    case "goAway":
      return false;
  }
  return true;
}

function report(event: Event) {
  const found = order(event);
  const line = {
    service: "notification",
    topic: event.position?.topic ?? args.topic,
    sequence: Number(event.position?.sequence ?? 0n),
    type: event.type,
    details: found ? { order_id: found.orderId, to: found.customer } : { skipped: "no order" },
  };
  console.log(JSON.stringify(line));
}

/** The order in an event, however it came: protobuf, or JSON from a service that has not moved yet. */
function order({ type, payload }: Event): { orderId: string; customer: string } | undefined {
  try {
    if (payload.case === "data" && type === OrderPlacedSchema.typeName) {
      return fromBinary(OrderPlacedSchema, payload.value);
    }
    if (payload.case === "text" || payload.case === "data") {
      const { value } = payload;
      const json = typeof value === "string" ? value : new TextDecoder().decode(value);
      const { order_id: orderId, customer } = JSON.parse(json);
      if (typeof orderId === "string") return { orderId, customer };
    }
  } catch {
    // Whatever else is on the topic is not for us.
  }
  return undefined;
}
