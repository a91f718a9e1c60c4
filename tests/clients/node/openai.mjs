// The openai package for Node.
import assert from "node:assert/strict";
import test from "node:test";
import { KEY, USER, collect, gone, load, refusal, servers } from "./shared.mjs";

const OpenAI = load("openai").default;
const connect = (url, apiKey = "unused") => new OpenAI({ baseURL: url + "/v1", apiKey, maxRetries: 0 });
const [plain, strict, narrow, strictNarrow, left] = [servers.plain, servers.strict, servers.narrow, servers.strict_narrow, servers.left].map((url) => connect(url));
const ASK = { model: "tgi", messages: USER, temperature: 0, max_tokens: 12 };
const ask = (more = {}, client = plain) => client.chat.completions.create({ ...ASK, ...more });
const text = (completion) => completion.choices[0].message.content;
const joined = (chunks) => chunks.map((c) => c.choices[0]?.delta.content ?? "").join("");
const tool = { type: "function", function: { name: "f", parameters: { type: "object", properties: {} } } };

test("a chat, whole and as a stream", async () => {
  const c = await ask();
  assert.equal(c.object, "chat.completion");
  assert.equal(c.choices[0].finish_reason, "length");
  assert.equal(c.usage.completion_tokens, 12);
  assert.equal(joined(await collect(ask({ stream: true }))), text(c));
  const chunks = await collect(ask({ stream: true, stream_options: { include_usage: true } }));
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.equal(chunks.at(-1).usage.completion_tokens, 12);
  for (const more of [{ top_p: 1 }, { max_tokens: undefined, max_completion_tokens: 12 }, { presence_penalty: 0, logit_bias: {} },
    { tools: [tool], tool_choice: "none" }, { response_format: { type: "text" } }, { user: "me", store: false, x: [null] }, { model: "gpt-4o" }])
    assert.equal(text(await ask(more)), text(c));
});

test("roles, parts, stops, seeds, several answers, logprobs", async () => {
  const talk = [{ role: "developer", content: "Be brief." }, ...USER, { role: "assistant", content: "A server." },
    { role: "user", content: [{ type: "text", text: "Really?" }] }];
  assert.ok(text(await ask({ messages: talk })));
  const whole = text(await ask({ max_tokens: 30 }));
  for (const stop of [" server", [" server"]]) {
    const c = await ask({ max_tokens: 30, stop });
    assert.equal(c.choices[0].finish_reason, "stop_sequence");
    assert.ok(whole.startsWith(text(c)) && text(c).endsWith(" server"));
    assert.equal(text(await ask({ max_tokens: 30, stop }, strict)), whole.slice(0, whole.indexOf(" server")));
  }
  const hot = { temperature: 1.6, seed: 9, max_tokens: 24, n: 2 };
  const two = (await ask(hot)).choices.map((c) => c.message.content);
  assert.deepEqual((await ask(hot)).choices.map((c) => c.message.content), two);
  const streamed = ["", ""];
  for await (const c of await ask({ ...hot, stream: true })) streamed[c.choices[0].index] += c.choices[0].delta.content;
  assert.deepEqual(streamed, two);
  const told = (await ask({ logprobs: true, top_logprobs: 2 })).choices[0].logprobs.content;
  assert.equal(Buffer.concat(told.map((t) => Buffer.from(t.bytes))).toString(), text(await ask()));
  assert.equal(told[0].top_logprobs.length, 2);
});

test("the helper that collects a stream", async () => {
  const runner = plain.chat.completions.stream({ ...ASK, max_tokens: 200 });
  const deltas = [];
  runner.on("content", (delta) => deltas.push(delta));
  const c = await runner.finalChatCompletion();
  assert.equal(deltas.join(""), text(c));
  assert.equal(c.choices[0].finish_reason, "stop");
});

test("completions", async () => {
  const complete = (more) => plain.completions.create({ model: "tgi", prompt: "Once upon a time", temperature: 0, max_tokens: 8, ...more });
  const one = (await complete()).choices[0].text;
  assert.equal((await collect(complete({ stream: true }))).map((c) => c.choices[0].text).join(""), one);
  const many = await complete({ prompt: ["Once upon a time", "Hello"], echo: true });
  assert.equal(many.choices[0].text, "Once upon a time" + one);
  assert.ok((await complete({ prompt: [5, 6, 7] })).choices[0].text);
  assert.ok((await complete({ prompt: [[5], [6, 7]] })).choices[1].text);
  assert.equal((await complete({ logprobs: 2 })).choices[0].logprobs.tokens.join(""), one);
});

test("models", async () => {
  const models = await collect(plain.models.list());
  assert.equal(models.length, 1);
  assert.equal(models[0].id, (await ask({ model: "tgi" })).model);
});

test("a stream that is left", async () => {
  const endless = { max_tokens: 900, stream: true, logit_bias: { 1: -100, 3: -100 } };
  for await (const _ of await ask(endless, left)) break;
  await gone(servers.left, 1);
  const stream = await ask(endless, left);
  for await (const _ of stream) {
    stream.controller.abort();
  }
  await gone(servers.left, 2);
});

test("refusals as TGI words them", async () => {
  let e = await refusal(() => ask({ max_tokens: 0 }));
  assert.ok(e instanceof OpenAI.UnprocessableEntityError && e.status === 422);
  assert.equal(e.error, "Input validation error: `max_new_tokens` must be strictly positive");
  assert.ok(e.message.includes("must be strictly positive"));
  e = await refusal(() => ask({ max_tokens: 0, stream: true }));
  assert.ok(e instanceof OpenAI.APIError && e.message === "Input validation error: `max_new_tokens` must be strictly positive");
  assert.equal(e.error.http_status_code, 422);
  for (const stream of [false, true]) {
    e = await refusal(() => ask({ tools: [tool], stream }));
    assert.ok(e instanceof OpenAI.UnprocessableEntityError && e.message.includes("calling tools"));
  }
  e = await refusal(() => ask({ n: 2 }, narrow));
  assert.ok(e instanceof OpenAI.RateLimitError && e.message.includes("Model is overloaded"));
  e = await refusal(() => ask({ n: 2, stream: true }, narrow));
  assert.equal(e.error.http_status_code, 429);
  e = await refusal(() => ask({ messages: [{ role: "user", content: "x".repeat(20000) }] }, narrow));
  assert.equal(e.status, 413);
});

test("refusals as OpenAI words them", async () => {
  for (const stream of [false, true]) {
    let e = await refusal(() => ask({ max_tokens: 0, stream }, strict));
    assert.ok(e instanceof OpenAI.UnprocessableEntityError && e.type === "invalid_request_error");
    assert.equal(e.message, "422 Input validation error: `max_new_tokens` must be strictly positive");
    e = await refusal(() => ask({ response_format: { type: "json_object" }, stream }, strict));
    assert.equal(e.message, "422 Input validation error: a `response_format` other than text is not supported by this version");
    e = await refusal(() => ask({ n: 2, stream }, strictNarrow));
    assert.ok(e instanceof OpenAI.RateLimitError && e.message === "429 Model is overloaded" && e.code === "overloaded");
  }
});

test("keys", async () => {
  assert.ok(text(await ask({}, connect(servers.keyed, KEY))));
  for (const stream of [false, true])
    assert.ok((await refusal(() => ask({ stream }, connect(servers.keyed, "wrong")))) instanceof OpenAI.AuthenticationError);
});
