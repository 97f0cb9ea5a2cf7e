/**
 * A real Chromium, which a test drives by lines of JSON on standard input:
 *
 *     {"page": 0, "call": "goto", "args": ["http://localhost:8000/"]}
 *
 * calls that method of Playwright's Page and prints {"ok": result} or {"error": why}. A page is opened
 * when it is first named; all share one browser, as tabs do. It ends with its input.
 *
 *     driver.mjs CHROMIUM
 */
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const CALL_MS = 30_000; // for a busy machine; less than the test waits for an answer
// It is to speak to nobody but whom the test names.
const QUIET = [
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-gpu",
  "--disable-quic",
  "--disable-sync",
  "--no-first-run",
];

/** What Playwright's Page lacks. */
const CALLS = {
  /** Where the page breaks the rules of WCAG, as axe finds them. */
  async accessibility(page) {
    await page.addScriptTag({ path: createRequire(import.meta.url).resolve("axe-core") });
    const { violations } = await page.evaluate("axe.run()");
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
  },
  /** The texts of all elements that `selector` finds. */
  texts: (page, selector) => page.locator(selector).allInnerTexts(),
};

const browser = await chromium.launch({ executablePath: process.argv[2], args: QUIET });
const context = await browser.newContext();
context.setDefaultTimeout(CALL_MS);
const pages = new Map();
say({ ok: browser.version() });
for await (const line of createInterface({ input: process.stdin })) {
  const { page: name, call, args } = JSON.parse(line);
  try {
    if (!pages.has(name)) pages.set(name, await opened());
    const page = pages.get(name);
    const result = CALLS[call] ? await CALLS[call](page, ...args) : await page[call](...args);
    say({ ok: plain(result) });
  } catch (error) {
    say({ error: String(error) });
  }
}
await browser.close();

async function opened() {
  const page = await context.newPage();
  page.on("console", (message) => console.error(`console: ${message.text()}`));
  page.on("pageerror", (error) => console.error(`page error: ${error}`));
  return page;
}

/** Handles, responses and bytes stay here. */
function plain(result) {
  return Array.isArray(result) || ["string", "number", "boolean"].includes(typeof result) ? result : null;
}

function say(answer) {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
