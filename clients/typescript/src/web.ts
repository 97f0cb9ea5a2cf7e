import type { Transport } from "@connectrpc/connect";
import { createGrpcWebTransport, type GrpcWebTransportOptions } from "@connectrpc/connect-web";

/** gRPC-Web, for browsers. A broker does not speak it yet; a proxy such as Envoy translates. */
export function transport(
  baseUrl: string,
  options: Omit<GrpcWebTransportOptions, "baseUrl"> = {},
): Transport {
  return createGrpcWebTransport({ ...options, baseUrl });
}
