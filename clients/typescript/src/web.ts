import type { Transport } from "@connectrpc/connect";
import { createGrpcWebTransport, type GrpcWebTransportOptions } from "@connectrpc/connect-web";

/**
 * gRPC-Web, for browsers: to a broker such as "http://127.0.0.1:7070", which allows the page's origin,
 * or to an Envoy that translates. PublishStream is not to be had there: a browser sends no streams.
 */
export function transport(
  baseUrl: string,
  options: Omit<GrpcWebTransportOptions, "baseUrl"> = {},
): Transport {
  return createGrpcWebTransport({ ...options, baseUrl });
}
