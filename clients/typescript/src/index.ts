/**
 * Tidings: typed events over gRPC, on Redis.
 *
 * The messages and services of tidings.v1, and what it takes to call them. A transport comes from
 * `@tidings/client/node` or, in a browser, from `@tidings/client/web`.
 */
export { Code, ConnectError, createClient } from "@connectrpc/connect";
export { errorDetails, type ErrorDetails } from "./errors.js";
export * from "./generated/tidings/v1/admin_pb.js";
export * from "./generated/tidings/v1/broker_pb.js";
export * from "./generated/tidings/v1/event_pb.js";
export * from "./generated/tidings/v1/workers_pb.js";
