/** What is on the page. */
import { timestampDate } from "@bufbuild/protobuf/wkt";
import {
  Code,
  ConnectError,
  errorDetails,
  Gap_Reason,
  type Event,
  type Gap,
} from "@tidings/client";
import { read } from "./payload.js";

/** Older ones leave the page. */
const ROWS_MAX = 500;

export function element<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no #${id}`);
  return found;
}

export function fill(select: HTMLSelectElement, options: string[]) {
  select.replaceChildren(...options.map((option) => new Option(option)));
}

function make(tag: string, className: string, ...inside: (string | Node)[]): HTMLElement {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...inside);
  return made;
}

/** How the stream does. */
export class State {
  #pill = element("state", HTMLElement);
  #what = "";

  show(state: "idle" | "connecting" | "live" | "lost", what: string) {
    this.#pill.dataset["state"] = state;
    this.#pill.textContent = this.#what = what;
  }

  heartbeat(count: number, backendIsDown: boolean) {
    this.#pill.dataset["heartbeats"] = `${count}`;
    this.#pill.dataset["state"] = backendIsDown ? "lost" : "live";
    const said = backendIsDown ? `${this.#what}, which cannot reach its backend` : this.#what;
    // The same words again would be read out again.
    if (this.#pill.textContent !== said) this.#pill.textContent = said;
  }
}

/** Events and gaps, the newest first. */
export class EventList {
  #list = element("events", HTMLOListElement);
  #count = element("count", HTMLElement);
  #empty = element("empty", HTMLElement);
  #events = 0;

  clear() {
    this.#events = 0;
    this.#list.replaceChildren();
    this.#told();
  }

  event(event: Event) {
    this.#events += 1;
    const { position, publishTime } = event;
    // An unsequenced one came from a raw Redis client.
    const number = position?.sequence ? `${position.sequence}` : "–";
    const time = publishTime ? timestampDate(publishTime).toLocaleTimeString() : "";
    const head = make(
      "div",
      "head",
      make("span", "number", number),
      make("span", "topic", position?.topic ?? ""),
      make("span", "type", event.type),
      make("span", "time", time),
    );
    this.#add(make("li", "event", head, make("pre", "", read(event))), number);
  }

  gap({ after, until, missed, reason }: Gap) {
    const some = missed === undefined ? "Some events were" : `${missed} events were`;
    const many = missed === 1n ? "One event was" : some;
    const why = Gap_Reason[reason]!.toLowerCase().replaceAll("_", " ");
    const where = until?.topic ?? after?.topic ?? "";
    this.#add(make("li", "gap", make("strong", "", `${many} missed`), ` in ${where}: ${why}`), "gap");
  }

  #add(row: HTMLElement, number: string) {
    row.dataset["number"] = number;
    this.#list.prepend(row);
    if (this.#list.childElementCount > ROWS_MAX) this.#list.lastElementChild?.remove();
    this.#told();
  }

  #told() {
    this.#count.textContent = this.#events ? `${this.#events}` : "";
    this.#empty.hidden = this.#list.childElementCount > 0;
  }
}

/** What a call came to; fields that a broker found wrong are marked. */
export class Problem {
  #box: HTMLElement;

  /** `fields` by their path in the request. */
  constructor(id: string, private readonly fields: Record<string, HTMLElement>) {
    this.#box = element(id, HTMLElement);
  }

  clear() {
    this.#box.replaceChildren();
    delete this.#box.dataset["reason"];
    this.#box.classList.remove("done");
    for (const field of Object.values(this.fields)) field.removeAttribute("aria-invalid");
  }

  done(message: string) {
    this.#box.classList.add("done");
    this.#box.textContent = message;
  }

  show(error: unknown, message = ConnectError.from(error).rawMessage) {
    const { reason, violations } = errorDetails(error);
    this.#box.dataset["reason"] = reason;
    const title = reason || Code[ConnectError.from(error).code]!;
    const list = Object.entries(violations).map(([path, why]) => {
      this.#mark(path);
      return make("li", "", make("code", "", path), ` ${why}`);
    });
    this.#box.replaceChildren(make("strong", "", title), ` ${message}`);
    if (list.length > 0) this.#box.append(make("ul", "", ...list));
  }

  refuse(path: string, message: string) {
    this.#mark(path);
    this.#box.textContent = message;
  }

  /** `topics[0]` is marked where `topics` is. */
  #mark(path: string) {
    const field = this.fields[path] ?? this.fields[path.replace(/\[.*/, "")];
    field?.setAttribute("aria-invalid", "true");
    field?.setAttribute("aria-errormessage", this.#box.id);
  }
}
