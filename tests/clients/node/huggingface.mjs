// @huggingface/inference, whose client talks to a server of one's own by endpointUrl; it asks for text on
// /v1/completions, in OpenAI's words.
import assert from "node:assert/strict";
import test from "node:test";
import { KEY, USER, collect, gone, load, refusal, servers } from "./shared.mjs";

const { InferenceClient, InferenceClientProviderApiError } = load("@huggingface/inference");
const connect = (url, key = "unused") => new InferenceClient(key, { endpointUrl: url });
const [plain, narrow, left] = [servers.plain, servers.narrow, servers.left].map((url) => connect(url));
const inputs = "Once upon a time";
const ASK = { messages: USER, temperature: 0, max_tokens: 12 };
const body = (more) => ({ inputs, parameters: { max_new_tokens: 8, temperature: 0, ...more } });
const write = (more, client = plain) => client.textGeneration(body(more));
const writeStream = (more, client = plain, options = {}) => client.textGenerationStream(body(more), options);

test("text, whole and as a stream", async () => {
  const { generated_text: text } = await write();
  assert.ok(text);
  const chunks = await collect(writeStream());
  assert.equal(chunks.map((c) => c.choices[0].text).join(""), text);
  assert.equal(chunks.at(-1).choices[0].finish_reason, "length");
  assert.equal(chunks.at(-1).usage.completion_tokens, 8);
  for (const more of [{ top_p: 1 }, { temperature: 2, top_k: 1 }, { return_full_text: true, details: true }])
    assert.equal((await write(more)).generated_text, text);
  assert.ok((await write({ stop: [text.slice(3, 6)] })).generated_text.includes(text.slice(3, 6)));
  const hot = { temperature: 1.5, seed: 3, top_p: 0.9, repetition_penalty: 1.1 };
  assert.deepEqual(await write(hot), await write(hot));
});

test("a chat, whole and as a stream", async () => {
  const c = await plain.chatCompletion(ASK);
  const text = c.choices[0].message.content;
  assert.equal(c.usage.completion_tokens, 12);
  const chunks = await collect(plain.chatCompletionStream(ASK));
  assert.equal(chunks.map((x) => x.choices[0].delta.content).join(""), text);
  assert.equal(chunks.at(-1).choices[0].finish_reason, "length");
  const counted = await collect(plain.chatCompletionStream({ ...ASK, stream_options: { include_usage: true } }));
  assert.equal(counted.at(-1).usage.completion_tokens, 12);
  for (const more of [{ model: "any/model" }, { top_p: 1 }, { n: 1 }])
    assert.equal((await plain.chatCompletion({ ...ASK, ...more })).choices[0].message.content, text);
  assert.equal((await plain.chatCompletion({ ...ASK, n: 2, temperature: 1.5, seed: 1 })).choices.length, 2);
  assert.equal((await plain.chatCompletion({ ...ASK, stop: [" is"] })).choices[0].finish_reason, "stop_sequence");
  assert.equal((await plain.chatCompletion({ ...ASK, logprobs: true, top_logprobs: 2 })).choices[0].logprobs.content.length, 12);
});

test("refusals", async () => {
  for (const call of [() => write({ top_p: 2 }), () => writeStream({ top_p: 2 })]) {
    const e = await refusal(call);
    assert.ok(e instanceof InferenceClientProviderApiError);
    assert.ok(e.message.endsWith("Input validation error: `top_p` must be > 0.0 and < 1.0"), e.message);
  }
  for (const call of [() => plain.chatCompletion({ ...ASK, max_tokens: 0 }), () => plain.chatCompletionStream({ ...ASK, max_tokens: 0 })]) {
    const e = await refusal(call);
    assert.ok(e.message.includes("Input validation error: `max_new_tokens` must be strictly positive"), e.message);
  }
  for (const call of [() => write({ n: 2 }, narrow), () => narrow.chatCompletion({ ...ASK, n: 2 }),
    () => narrow.chatCompletionStream({ ...ASK, n: 2 })]) {
    const e = await refusal(call);
    assert.ok(e.message.endsWith("Model is overloaded"), e.message);
  }
  const tools = [{ type: "function", function: { name: "f", description: "", parameters: {} } }];
  assert.ok((await refusal(() => plain.chatCompletion({ ...ASK, tools }))).message.includes("calling tools"));
});

test("keys", async () => {
  assert.ok((await write({}, connect(servers.keyed, KEY))).generated_text);
  for (const call of [() => write({}, connect(servers.keyed, "wrong")), () => connect(servers.keyed, "wrong").chatCompletion(ASK),
    () => writeStream({}, connect(servers.keyed, "wrong"))])
    assert.equal((await refusal(call)).httpResponse.status, 401);
});

test("a stream that is left", async () => {
  const leave = new AbortController();
  const error = await refusal(async () => {
    for await (const _ of writeStream({ max_new_tokens: 900 }, left, { signal: leave.signal })) leave.abort();
  });
  assert.equal(error.name, "AbortError");
  await gone(servers.left, 1);
});
