import { durationMs } from "@bufbuild/protobuf/wkt";
import { ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "./generated/google/rpc/error_details_pb.js";

/** What an error of a broker says beside its code and message. */
export interface ErrorDetails {
  /** Such as "TOPIC_NAME_INVALID"; empty where gRPC itself, and not a broker, made the error. */
  reason: string;
  /** The dynamic parts of the reason. */
  metadata: Record<string, string>;
  /** What is wrong with the request: the path of a field, and why. */
  violations: Record<string, string>;
  /** How long to wait before trying again, where waiting helps. */
  retryAfterMs?: number;
}

/** Of anything that was caught. Decide by the reason; docs/errors.md lists them. */
export function errorDetails(error: unknown): ErrorDetails {
  const status = ConnectError.from(error);
  const info = status.findDetails(ErrorInfoSchema).find(({ domain }) => domain === "tidings");
  const violations = status.findDetails(BadRequestSchema).flatMap((bad) => bad.fieldViolations);
  const retryDelay = status.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return {
    reason: info?.reason ?? "",
    metadata: info?.metadata ?? {},
    violations: Object.fromEntries(violations.map((one) => [one.field, one.description])),
    ...(retryDelay && { retryAfterMs: durationMs(retryDelay) }),
  };
}
