/**
 * A page that listens to a topic and publishes on it. Its address may say where and what:
 * `?broker=http://127.0.0.1:7070&topic=orders&heartbeat=15`.
 */
import { Broker, Code, ConnectError, createClient, errorDetails } from "@tidings/client";
import { transport } from "@tidings/client/web";
import { follow, type Calls, type Listener } from "./follow.js";
import { KINDS, write } from "./payload.js";
import "./style.css";
import { EventList, element, fill, Problem, State } from "./view.js";

const address = new URLSearchParams(location.search);
const heartbeatMs = 1_000 * Number(address.get("heartbeat") ?? 15);
const PUBLISH_WITHIN_MS = 10_000;

const broker = element("broker", HTMLInputElement);
const pattern = element("pattern", HTMLInputElement);
const topic = element("topic", HTMLInputElement);
const kind = element("kind", HTMLSelectElement);
const type = element("type", HTMLInputElement);
const payload = element("payload", HTMLTextAreaElement);
const stop = element("stop", HTMLButtonElement);

broker.value = address.get("broker") ?? "http://127.0.0.1:7070";
pattern.value = address.get("topic") ?? "hello";
topic.value = pattern.value;

// ---- listening ----

const state = new State();
const events = new EventList();
const listenProblem = new Problem("listen-result", { topics: pattern });
let listening = new AbortController();

/** What may be wrong where a browser says no more than that it could not fetch. */
const UNREACHABLE = `no broker answers there, or it does not allow pages from ${location.origin}`;

async function listen() {
  listening.abort();
  const { signal } = (listening = new AbortController());
  listenProblem.clear();
  events.clear();
  stop.disabled = false;
  state.show("connecting", "Connecting…");
  let heartbeats = 0;
  const listener: Listener = {
    opened(opened) {
      listenProblem.clear();
      state.show("live", `Live at broker ${opened.brokerId.slice(-8)}`);
    },
    event: (event) => events.event(event),
    gap: (gap) => events.gap(gap),
    heartbeat: (backendIsDown) => state.heartbeat(++heartbeats, backendIsDown),
    lost(why, retryInMs) {
      state.show("lost", `Reconnecting in ${(retryInMs / 1000).toFixed(1)} s`);
      listenProblem.show(why, isUnreachable(why) ? UNREACHABLE : why.rawMessage);
    },
  };
  try {
    await follow(calls(), { topics: [pattern.value], heartbeatMs }, listener, signal);
  } catch (error) {
    if (signal.aborted) return;
    listenProblem.show(error);
    state.show("idle", "Not listening");
    stop.disabled = true;
  }
}

element("listen", HTMLFormElement).addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  if (!pattern.value.includes("*") && !pattern.value.includes(">")) topic.value = pattern.value;
  void listen();
});
stop.addEventListener("click", () => {
  listening.abort();
  listenProblem.clear();
  state.show("idle", "Not listening");
  stop.disabled = true;
});

// ---- publishing ----

const publishProblem = new Problem("publish-result", { topic, payload, "events[0].type": type });

async function publish() {
  publishProblem.clear();
  try {
    const event = write(kind.value, type.value, payload.value);
    const request = { topic: topic.value, events: [event] };
    const { receipts } = await calls().publish(request, { timeoutMs: PUBLISH_WITHIN_MS });
    const at = receipts[0]?.position;
    publishProblem.done(`Stored in ${at?.topic} as number ${at?.sequence}.`);
  } catch (error) {
    if (error instanceof ConnectError) publishProblem.show(error, said(error));
    else publishProblem.refuse("payload", String(error));
  }
}

/** Only an error with a reason of a broker says that nothing was stored. */
function said(error: ConnectError): string {
  const { reason } = errorDetails(error);
  const isUnknown = reason === "" || reason === "OUTCOME_UNKNOWN";
  const why = isUnreachable(error) ? UNREACHABLE : error.rawMessage;
  return isUnknown ? `${why}; it may be stored or not` : why;
}

fill(kind, KINDS.map(({ name }) => name));
kind.addEventListener("change", chosen);
function chosen() {
  const { type: decided, sample } = KINDS[kind.selectedIndex]!;
  type.disabled = decided !== undefined;
  type.value = decided ?? "";
  payload.value = sample;
}

element("publish", HTMLFormElement).addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  void publish();
});

// ---- both ----

function calls(): Calls {
  return createClient(Broker, transport(broker.value));
}

/** Of a fetch that failed a browser tells a page no more than that, whatever the cause. */
function isUnreachable(error: ConnectError): boolean {
  return error.cause instanceof TypeError && error.code === Code.Unknown;
}

chosen();
void listen();
