// Reads an AsyncAPI document on standard input with the parser of the AsyncAPI Initiative, and prints what it
// finds: what is wrong, else each message of each channel with the action that it belongs to.
import { Parser } from "@asyncapi/parser";

const LEVELS = ["error", "warning", "information", "hint"];

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { document, diagnostics } = await new Parser().parse(Buffer.concat(chunks).toString());
for (const { severity, code, path, message } of diagnostics) {
  // There is always a newer one.
  if (code === "asyncapi-latest-version") continue;
  console.log(`${LEVELS[severity]} ${code} at ${path.join(".")}: ${message}`);
}
for (const operation of document?.operations() ?? []) {
  for (const message of operation.messages()) {
    const channels = operation.channels().all().map((channel) => channel.address());
    const payload = message.payload()?.json();
    console.log([operation.action(), channels, message.name(), payload?.schemaFormat].join(" "));
  }
}
process.exitCode = document ? 0 : 1;
