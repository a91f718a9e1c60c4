/* Talking to the server: streams in both dialects as one kind of event, and every failure as a sentence. No DOM.
 *
 * The server is found beside the page, so that the page also works behind a proxy's prefix. */

export const BASE = new URL('.', globalThis.document?.baseURI ?? 'http://localhost/').href;

/* `kind` says what can be done about it: busy, loading, key, template, refused, failed, lost. */
export class Failure extends Error {
  constructor(kind, sentence) {
    super(sentence);
    this.kind = kind;
  }
}

const LOST = 'The connection to the server was lost before the answer was complete.';

function sentence(text) {
  const trimmed = String(text).trim();
  return /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}

/* `text`: what the server says, if anything. */
function failure(status, text) {
  const said = text ? ` It says: ${sentence(text)}` : '';
  if (status === 401)
    return new Failure('key', 'This server asks for an API key, and the one that was sent is missing or wrong.');
  if (status === 429)
    return new Failure('busy', 'The server is busy: as many requests are running as it takes. Try again in a moment.');
  if (status === 503) return new Failure('loading', 'The model is still loading.');
  if (status === 413)
    return new Failure('refused', 'The conversation is longer than this server accepts in one request.');
  if (/^Template error/.test(text)) return new Failure('template', `This model cannot hold a conversation.${said}`);
  if (status >= 400 && status < 500 && status !== 424)
    return new Failure('refused', `The server refused the request.${said}`);
  return new Failure('failed', `The server failed (${status}).${said}`);
}

/* The text of an error in any of the server's forms: TGI's JSON, OpenAI's JSON, or plain text. */
function errorText(body) {
  try {
    const { error } = JSON.parse(body);
    return error?.message ?? error ?? body;
  } catch {
    return body;
  }
}

/* An error inside a stream has no status of its own on TGI's route, and always the same on OpenAI's. */
function failureInStream({ error, error_type: type }) {
  const text = error.message ?? error;
  if (type === 'overloaded' || text === 'Model is overloaded') return failure(429);
  if (type === 'loading') return failure(503);
  const broke = /^(Request failed during generation|Incomplete generation)/.test(text);
  return failure(broke ? 500 : 422, text);
}

/* The `data:` lines of a stream of events. */
export async function* dataLines(stream) {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const bytes of chunks(stream)) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) if (line.startsWith('data:')) yield line.slice(5).trim();
  }
}

/* Not every browser can iterate over a body. */
async function* chunks(stream) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function* ofChat(event) {
  const choice = event.choices?.[0];
  if (choice?.delta?.content) yield { text: choice.delta.content };
  if (choice?.finish_reason) yield { finish: choice.finish_reason };
  if (event.usage) yield { prompt: event.usage.prompt_tokens, tokens: event.usage.completion_tokens };
}

function* ofText(event) {
  if (!event.token.special && event.token.text) yield { text: event.token.text };
  if (!event.details) return;
  const { finish_reason: finish, input_length: prompt, generated_tokens: tokens } = event.details;
  yield { finish, prompt, tokens };
}

/* Sends a request of request.js and yields { text }, { finish } and { prompt, tokens } as they come. Throws a Failure,
 * or the signal's AbortError. */
export async function* ask({ path, body }, key, signal) {
  if (/[^ -~]/.test(key)) throw failure(401); /* no header can hold it */
  const isChat = path.endsWith('chat/completions');
  const headers = { 'content-type': 'application/json', ...(key && { authorization: `Bearer ${key}` }) };
  let response,
    finished = false;
  try {
    response = await fetch(BASE + path, { method: 'POST', headers, body: JSON.stringify(body), signal });
    if (!response.ok) throw failure(response.status, errorText(await response.text()));
    for await (const data of dataLines(response.body)) {
      if (data === '[DONE]') break;
      const event = JSON.parse(data);
      if (event.error) throw failureInStream(event);
      for (const part of isChat ? ofChat(event) : ofText(event)) {
        finished ||= Boolean(part.finish);
        yield part;
      }
    }
  } catch (error) {
    if (error instanceof Failure || signal.aborted) throw error;
    throw new Failure('lost', response ? LOST : 'The server cannot be reached. Is it still running?');
  }
  if (!finished) throw new Failure('lost', LOST);
}

/* { state: 'ready' | 'loading' | 'away', info } */
export async function look() {
  try {
    const [health, info] = await Promise.all([fetch(BASE + 'health'), fetch(BASE + 'info')]);
    return { state: health.ok ? 'ready' : 'loading', info: info.ok ? await info.json() : {} };
  } catch {
    return { state: 'away', info: {} };
  }
}

/* The name that clients give to the model, or NULL where the server has no such list. */
export async function modelName() {
  try {
    const response = await fetch(BASE + 'v1/models');
    return response.ok ? ((await response.json()).data?.[0]?.id ?? null) : null;
  } catch {
    return null;
  }
}
