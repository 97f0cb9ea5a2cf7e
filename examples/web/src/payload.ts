/** Between what a person types and reads, and what is in an event. */
import {
  createRegistry,
  fromBinary,
  fromJsonString,
  toBinary,
  toJsonString,
  type MessageInitShape,
} from "@bufbuild/protobuf";
import type { Event, EventSchema } from "@tidings/client";
import { OrderPlacedSchema } from "../generated/orders_pb.js";

/** The messages that this page can write and read: add your own generated ones. */
const MESSAGES = createRegistry(OrderPlacedSchema);

const ORDER = {
  orderId: "1001",
  customer: "ann@example.com",
  items: [{ sku: "tea-500g", quantity: 2 }],
  total: "1980",
  currency: "EUR",
};

export interface Kind {
  name: string;
  /** The type of its events, where the kind decides it. */
  type?: string;
  sample: string;
}

/** What may be published, each with a payload to begin with. */
export const KINDS: Kind[] = [
  { name: "Text", sample: "hello, world" },
  { name: "JSON", sample: json({ id: 42 }) },
  { name: OrderPlacedSchema.typeName, type: OrderPlacedSchema.typeName, sample: json(ORDER) },
];

/** Throws where the text is not of that kind. */
export function write(kind: string, type: string, text: string): MessageInitShape<typeof EventSchema> {
  const schema = MESSAGES.getMessage(kind);
  if (schema) {
    const value = toBinary(schema, fromJsonString(schema, text, { registry: MESSAGES }));
    const dataContentType = "application/protobuf";
    return { type: schema.typeName, dataContentType, payload: { case: "data", value } };
  }
  const payload = { case: "text", value: text } as const;
  if (kind === "Text") return { type, payload };
  JSON.parse(text);
  // As it was typed: what JSON.parse makes of large numbers is not what they are.
  return { type, dataContentType: "application/json", payload };
}

export function read({ type, dataContentType, payload }: Event): string {
  const schema = MESSAGES.getMessage(type);
  switch (payload.case) {
    case "text":
      return payload.value;
    case "data":
      if (schema && dataContentType === "application/protobuf") {
        try {
          return toJsonString(schema, fromBinary(schema, payload.value), { prettySpaces: 2 });
        } catch {
          return `no ${type}: ${bytes(payload.value)}`;
        }
      }
      return text(payload.value) ?? bytes(payload.value);
    default:
      return "";
  }
}

function json(value: object) {
  return JSON.stringify(value, null, 2);
}

function text(value: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(value);
  } catch {
    return undefined;
  }
}

function bytes(value: Uint8Array): string {
  const shown = [...value.subarray(0, 32)].map((byte) => byte.toString(16).padStart(2, "0"));
  return `${value.length} bytes: ${shown.join(" ")}${value.length > shown.length ? " …" : ""}`;
}
