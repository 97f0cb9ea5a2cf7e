import type { Transport } from "@connectrpc/connect";
import {
  createGrpcTransport,
  Http2SessionManager,
  type GrpcTransportOptions,
} from "@connectrpc/connect-node";

/**
 * gRPC over HTTP/2, to an address such as "127.0.0.1:7070". Its connection is kept for the next
 * call, and keeps the process, until it is closed; that ends its calls.
 */
export function transport(
  address: string,
  options: Omit<GrpcTransportOptions, "baseUrl" | "sessionManager"> = {},
): Transport & { close(): void } {
  const baseUrl = `http://${address}`;
  const sessionManager = new Http2SessionManager(baseUrl, options, options.nodeOptions);
  return {
    ...createGrpcTransport({ ...options, baseUrl, sessionManager }),
    close: () => sessionManager.abort(),
  };
}
