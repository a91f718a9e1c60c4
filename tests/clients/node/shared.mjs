// What the tests of Node's clients share: the packages of tests/web, and the servers that test_node.py started.
import { createRequire } from "node:module";
import assert from "node:assert/strict";

export const load = createRequire(new URL("../../web/", import.meta.url));
export const servers = JSON.parse(process.env.SERVERS);
export const KEY = process.env.KEY;
export const USER = [{ role: "user", content: "What is prompteur?" }];

export async function collect(stream) {
  const all = [];
  for await (const x of await stream) all.push(x);
  return all;
}

// Awaits the error of a call, or of the stream that it gives.
export async function refusal(call) {
  try {
    const result = await call();
    if (result?.[Symbol.asyncIterator]) await collect(result);
  } catch (e) {
    return e;
  }
  assert.fail("nothing was refused");
}

// Awaits that the client that left is counted and its place is free again.
export async function gone(url, failures) {
  const body = JSON.stringify({ inputs: "x", parameters: { max_new_tokens: 1 } });
  for (let i = 0; i < 400; i++) {
    const metrics = await (await fetch(url + "/metrics")).text();
    const dropped = Number(metrics.match(/^tgi_request_failure\{err="dropped"\} (\d+)$/m)?.[1] ?? 0);
    const headers = { "content-type": "application/json" };
    if (dropped >= failures && (await fetch(url + "/generate", { method: "POST", headers, body })).status === 200) return;
    await new Promise((done) => setTimeout(done, 25));
  }
  assert.fail("the place stays taken");
}
