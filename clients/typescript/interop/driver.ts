/**
 * What a test harness drives to see that this client and a broker understand each other.
 *
 *     driver.js checks --target HOST:PORT [--only NAME]
 *     driver.js receive --target HOST:PORT --topic T --events N
 *
 * Both print one JSON object a line.
 */
import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";
import { anyPack, StringValueSchema } from "@bufbuild/protobuf/wkt";
import { create, equals, type MessageInitShape } from "@bufbuild/protobuf";
import type { CallOptions, Client } from "@connectrpc/connect";
import { compressionGzip } from "@connectrpc/connect-node";
import {
  Broker,
  Code,
  ConnectError,
  createClient,
  errorDetails,
  EventSchema,
  type SubscribeResponse,
} from "@tidings/client";
import { transport } from "@tidings/client/node";

type Calls = Client<typeof Broker>;
type Sent = MessageInitShape<typeof EventSchema>;

const PATIENCE_MS = 20_000; // for one check

const checks = { publish, subscribe, error_details, deadline, cancel, gzip };

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    target: { type: "string" },
    only: { type: "string" },
    topic: { type: "string" },
    events: { type: "string" },
  },
});
const target = values.target ?? usage("--target is missing");
const broker = createClient(Broker, transport(target));
switch (positionals[0]) {
  case "checks":
    for (const [name, check] of chosen(values.only)) {
      say({ check: name, ...(await outcome(check, `interop.typescript.${name}.${randomUUID()}`)) });
    }
    break;
  case "receive":
    await receive(values.topic ?? usage("--topic is missing"), Number(values.events));
    break;
  default:
    usage("there are checks and receive");
}
// A check that hung, or a connection that is kept for the next call, must not keep the process.
process.exit();

function usage(why: string): never {
  console.error(`driver: ${why}`);
  process.exit(2);
}

function chosen(only?: string) {
  const named = Object.entries(checks).filter(([name]) => only === undefined || name === only);
  return named.length > 0 ? named : usage(`there is no check ${only}`);
}

function say(fields: object) {
  process.stdout.write(`${JSON.stringify(fields)}\n`);
}

async function outcome(check: (topic: string) => Promise<string>, topic: string) {
  const patience = new Promise<never>((_, reject) => {
    setTimeout(reject, PATIENCE_MS, new Error(`no end within ${PATIENCE_MS / 1000} s`)).unref();
  });
  try {
    return { ok: true, detail: await Promise.race([check(topic), patience]) };
  } catch (error) {
    return { ok: false, detail: String(error) };
  }
}

function expect(holds: boolean, found: unknown): asserts holds {
  if (!holds) {
    throw new Error(typeof found === "string" ? found : JSON.stringify(found, bigintAsText));
  }
}

function bigintAsText(_: string, value: unknown) {
  return typeof value === "bigint" ? value.toString() : value;
}

// ---- the checks: each says what it saw, in the words that every language uses, or throws ----

async function publish(topic: string) {
  const four = create(StringValueSchema, { value: "four" });
  const events: Sent[] = [
    text("one"),
    { payload: { case: "data", value: new Uint8Array([0, 255, 2]) } },
    { payload: { case: "json", value: { kind: { case: "numberValue", value: 3 } } } },
    { payload: { case: "proto", value: anyPack(StringValueSchema, four) } },
  ];
  let last = 0n;
  for (const event of events) {
    const { receipts } = await broker.publish({ topic, events: [event] });
    const at = receipts[0]?.position;
    expect(at?.topic === topic && at.epoch > 0n && at.sequence === last + 1n, receipts);
    last = at.sequence;
  }
  return events.map(({ payload }) => payload?.case).join(", ");
}

async function subscribe(topic: string) {
  const sent = Array.from({ length: 100 }, (_, number) => create(EventSchema, numbered(number)));
  const stream = await opened(topic);
  for (const event of sent) {
    await broker.publish({ topic, events: [event] });
  }
  let number = 0;
  for await (const event of stream.events()) {
    // What is left is what was sent.
    const { position, publishTime, ...rest } = event;
    expect(equals(EventSchema, create(EventSchema, rest), sent[number]!), event);
    if (++number === sent.length) break;
  }
  expect(number === sent.length, `only ${number} events came`);
  return `${number} events`;
}

function numbered(number: number): Sent {
  return {
    id: `id-${number}`,
    source: "/interop",
    type: "interop.v1.Numbered",
    subject: `number/${number}`,
    time: { seconds: BigInt(1_700_000_000 + number), nanos: 123_456_000 },
    dataContentType: "text/plain; charset=utf-8",
    key: `key-${number % 7}`,
    extensions: { language: "typescript" },
    ...text(`grüße ${number} 🎉`),
  };
}

async function error_details() {
  const error = await failure(broker.publish({ topic: "a b", events: [text("?")] }));
  const { reason, violations } = errorDetails(error);
  expect(error.code === Code.InvalidArgument, Code[error.code]);
  expect(Object.keys(violations).join() === "topic", { reason, violations });
  return `INVALID_ARGUMENT, ${reason}, topic`;
}

async function deadline(topic: string) {
  const begun = performance.now();
  const error = await failure(drain(broker.subscribe({ topics: [topic] }, { timeoutMs: 1000 })));
  const took = performance.now() - begun;
  expect(error.code === Code.DeadlineExceeded, `${error}`);
  expect(took < 3000, `after ${took} ms`);
  return "DEADLINE_EXCEEDED";
}

async function cancel(topic: string) {
  const abort = new AbortController();
  const quiet = await opened(topic, { signal: abort.signal });
  const ended = failure(drain(quiet.events()));
  const begun = performance.now();
  abort.abort();
  const error = await ended;
  const took = performance.now() - begun;
  expect(error.code === Code.Canceled, `${error}`);
  expect(took < 1000, `after ${took} ms`);
  expect((await echo(topic, "again")) === "again", "another event came");
  return "CANCELLED";
}

async function gzip(topic: string) {
  const sent = "0123456789abcdef".repeat(6400);
  const compressing = createClient(Broker, transport(target, { sendCompression: compressionGzip }));
  expect((await echo(topic, sent, compressing)) === sent, "the text changed");
  return `${sent.length} bytes`;
}

function text(value: string) {
  return { payload: { case: "text", value } } as const;
}

/** Publishes a text, and gives what a subscriber hears. */
async function echo(topic: string, sent: string, publisher: Calls = broker) {
  const stream = await opened(topic);
  await publisher.publish({ topic, events: [text(sent)] });
  for await (const { payload } of stream.events()) {
    return payload.value;
  }
  throw new Error("the stream ended");
}

/** A stream whose first frame, Opened, has come: what is published from now on is delivered. */
async function opened(topic: string, options?: CallOptions) {
  const stream = broker.subscribe({ topics: [topic] }, options);
  const frames = stream[Symbol.asyncIterator]();
  const first = await frames.next();
  expect(first.value?.control.case === "opened", `the first frame is ${first.value?.control.case}`);
  const rest: AsyncIterable<SubscribeResponse> = { [Symbol.asyncIterator]: () => frames };
  return {
    frames: rest,
    async *events() {
      for await (const frame of rest) {
        expect(frame.control.case !== "gap", frame.control);
        yield* frame.events;
      }
    },
  };
}

async function drain(stream: AsyncIterable<unknown>) {
  for await (const _ of stream);
}

async function failure(call: Promise<unknown>): Promise<ConnectError> {
  const done = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(done instanceof ConnectError, `it ended with ${done ?? "OK"}`);
  return done;
}

// ---- receive ----

async function receive(topic: string, wanted: number) {
  const stream = await opened(topic);
  say({ opened: true });
  let [events, frames, bytes, in_order] = [0, 0, 0, true];
  let [epoch, sequence] = [0n, 0n];
  let [begun, cpu] = [0, process.cpuUsage()];
  for await (const frame of stream.frames) {
    expect(frame.control.case !== "gap", `a gap after ${events} events`);
    if (frame.events.length === 0) continue;
    if (events === 0) {
      begun = performance.now();
      cpu = process.cpuUsage();
    }
    frames += 1;
    for (const { position, payload } of frame.events) {
      if (events > 0) {
        in_order &&= position?.epoch === epoch && position.sequence === sequence + 1n;
      }
      epoch = position?.epoch ?? 0n;
      sequence = position?.sequence ?? 0n;
      bytes += payload.case === "text" ? Buffer.byteLength(payload.value) : 0;
      bytes += payload.case === "data" ? payload.value.length : 0;
      events += 1;
    }
    if (events >= wanted) {
      const seconds = (performance.now() - begun) / 1e3;
      const { user, system } = process.cpuUsage(cpu);
      say({ events, frames, in_order, bytes, seconds, cpu_seconds: (user + system) / 1e6 });
      return;
    }
  }
  throw new Error(`the stream ended after ${events} events`);
}
