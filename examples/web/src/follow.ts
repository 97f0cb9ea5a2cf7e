/** A subscription that outlives its streams: it goes on where it was, and says what was lost. */
import { durationFromMs, durationMs, type Timestamp } from "@bufbuild/protobuf/wkt";
import {
  Code,
  ConnectError,
  errorDetails,
  type Broker,
  type Event,
  type Gap,
  type Opened,
  type Position,
  type SubscribeResponse,
  type createClient,
} from "@tidings/client";

export type Calls = ReturnType<typeof createClient<typeof Broker>>;

/** Is told what happens, in the order in which it happens. */
export interface Listener {
  opened(opened: Opened): void;
  event(event: Event): void;
  /** Events that will not come any more: this is the place where they would have stood. */
  gap(gap: Gap): void;
  heartbeat(backendIsDown: boolean): void;
  /** The stream is gone; another one is tried after so many milliseconds. */
  lost(why: ConnectError, retryInMs: number): void;
}

export interface Wanted {
  topics: string[];
  heartbeatMs: number;
}

/** Another stream may do better after these. */
const PASSING = [
  Code.Unavailable,
  Code.Internal,
  Code.Unknown,
  Code.ResourceExhausted,
  Code.DeadlineExceeded,
  Code.Aborted,
  Code.Canceled,
];
const RETRY_MS = { first: 250, longest: 5_000 };
/** For the first frame; how long silence may last after that is told in it. */
const OPEN_WITHIN_MS = 10_000;
const NEVER_OPENED =
  "no answer came: when six other tabs hold streams, a browser keeps no connection for this one";

/** Until `stop` is aborted, or an error that would only come again: that one is thrown. */
export async function follow(calls: Calls, wanted: Wanted, listener: Listener, stop: AbortSignal) {
  const place = new Place(listener);
  for (let failures = 0; !stop.aborted; ) {
    const silence = new Silence();
    let why: ConnectError;
    try {
      silence.mayLast(OPEN_WITHIN_MS, NEVER_OPENED);
      const signal = AbortSignal.any([stop, silence.tooLong]);
      for await (const frame of calls.subscribe(place.request(wanted), { signal })) {
        if (stop.aborted) return;
        if (frame.control.case === "opened") {
          failures = 0;
          const { heartbeatInterval } = frame.control.value;
          const interval = heartbeatInterval ? durationMs(heartbeatInterval) : wanted.heartbeatMs;
          silence.mayLast(2 * interval, "the broker fell silent");
        }
        silence.heard();
        place.take(frame);
        if (frame.control.case === "goAway") break;
      }
      why = new ConnectError("the broker goes away", Code.Unavailable);
    } catch (error) {
      why = ConnectError.from(error);
      if (!stop.aborted && isLasting(why)) throw why;
    } finally {
      // Leaving the loop ends no stream; this does.
      silence.end();
    }
    if (stop.aborted) return;
    const longest = Math.min(RETRY_MS.first * 2 ** failures++, RETRY_MS.longest);
    const retryInMs = errorDetails(why).retryAfterMs ?? longest * (0.5 + Math.random() / 2);
    listener.lost(why, retryInMs);
    await pause(retryInMs, stop);
  }
}

/** A frame that was cut in half is called an invalid argument, too: then no broker gave a reason. */
function isLasting(why: ConnectError): boolean {
  if (why.code === Code.InvalidArgument) return errorDetails(why).reason !== "";
  return !PASSING.includes(why.code);
}

/** How far the subscription has come: what the next stream goes on from. */
class Place {
  #reached = new Map<string, Position>();
  #known: Timestamp | undefined;

  constructor(private readonly listener: Listener) {}

  request({ topics, heartbeatMs }: Wanted) {
    return {
      topics,
      resume: [...this.#reached.values()],
      // For a pattern: a topic that is younger than this is heard from its beginning.
      ...(this.#known && { start: { case: "startTime", value: this.#known } as const }),
      heartbeatInterval: durationFromMs(heartbeatMs),
      clientName: "examples/web",
    };
  }

  take({ events, control }: SubscribeResponse) {
    for (const event of events) {
      // Sequence 0 came from a raw Redis client and is no place to go on from.
      if (event.position?.sequence) this.#reach([event.position]);
      this.listener.event(event);
    }
    switch (control.case) {
      case "opened":
        // Of a stream that resumes it repeats where that begins.
        this.#reach(control.value.positions);
        this.listener.opened(control.value);
        break;
      case "heartbeat":
        this.#known = control.value.time;
        this.#reach(control.value.positions);
        this.listener.heartbeat(control.value.backendDownSince !== undefined);
        break;
      case "gap":
        if (control.value.until) this.#reach([control.value.until]);
        this.listener.gap(control.value);
        break;
    }
  }

  #reach(positions: Position[]) {
    for (const position of positions) this.#reached.set(position.topic, position);
  }
}

/** A connection may die without a word. A broker says something at every heartbeat at the latest. */
class Silence {
  readonly #ended = new AbortController();
  #bound = { ms: 0, why: "" };
  #timer: ReturnType<typeof setTimeout> | undefined;

  get tooLong(): AbortSignal {
    return this.#ended.signal;
  }

  mayLast(ms: number, why: string) {
    this.#bound = { ms, why };
    this.heard();
  }

  heard() {
    const { ms, why } = this.#bound;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.end(new ConnectError(why, Code.DeadlineExceeded)), ms);
  }

  end(why?: ConnectError) {
    clearTimeout(this.#timer);
    this.#ended.abort(why);
  }
}

function pause(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    stop.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
