/* What the page sends, and the same request as curl and Python. Pure: settings and messages in, text out; no DOM.
 *
 * SETTINGS is the one list of what can be set: the form, the bodies of both routes and the snippets follow from it. A
 * setting that is left empty is not sent, so that the server's own default holds. */

export const SETTINGS = [
  { name: 'temperature', label: 'Temperature', hint: '0: always the likeliest', step: 0.1, empty: 'default' },
  { name: 'max_tokens', label: 'Max tokens', hint: 'of the answer', step: 1, empty: 'no limit' },
  { name: 'top_p', label: 'Top p', hint: 'share kept, below 1', step: 0.05, empty: 'off' },
  { name: 'top_k', label: 'Top k', hint: 'tokens kept', step: 1, empty: 'off', extra: true },
  { name: 'repetition_penalty', label: 'Repetition penalty', hint: '1: none', step: 0.05, empty: 'off', extra: true },
  { name: 'frequency_penalty', label: 'Frequency penalty', hint: '−2 to 2', step: 0.1, empty: 'off' },
  { name: 'seed', label: 'Seed', hint: 'same seed, same answer', step: 1, empty: 'random' },
];

/* One stop string a line; \n and \t in it stand for the characters that a line cannot hold. */
function stopStrings(text) {
  const escapes = { n: '\n', t: '\t', '\\': '\\' };
  return (text ?? '')
    .split('\n')
    .filter(Boolean)
    .map((line) => line.replace(/\\([nt\\])/g, (_, c) => escapes[c]));
}

/* { name: number } of what is set. */
function given(settings) {
  const values = {};
  for (const { name } of SETTINGS) {
    const text = String(settings[name] ?? '').trim();
    if (text !== '') values[name] = Number(text);
  }
  return values;
}

/* Settings: texts as typed, with `stop` and `system`. Messages: [{ role, content }]. Gives { path, body }. */
export function chatRequest(settings, messages, model) {
  const system = (settings.system ?? '').trim() ? [{ role: 'system', content: settings.system }] : [];
  const stop = stopStrings(settings.stop);
  return {
    path: 'v1/chat/completions',
    body: {
      model,
      messages: [...system, ...messages.map(({ role, content }) => ({ role, content }))],
      ...given(settings),
      ...(stop.length && { stop }),
      stream: true,
      stream_options: { include_usage: true },
    },
  };
}

/* This route has no temperature 0: there is chance wherever top_k, top_p or a temperature are named, and only there. */
export function textRequest(settings, inputs) {
  const { max_tokens: max_new_tokens, ...parameters } = given(settings);
  const stop = stopStrings(settings.stop);
  if (parameters.temperature === 0) for (const name of ['temperature', 'top_k', 'top_p']) delete parameters[name];
  else if (parameters.temperature !== undefined) parameters.do_sample = true;
  if (max_new_tokens !== undefined) parameters.max_new_tokens = max_new_tokens;
  return {
    path: 'generate_stream',
    body: { inputs, parameters: { ...parameters, ...(stop.length && { stop }), details: true } },
  };
}

/* ---- the same request for people who leave the page ---- */

const shell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/* JSON's strings are Python's; its words are not. */
function python(value, indent = '') {
  const deeper = indent + '    ';
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (Array.isArray(value))
    return items(
      value.map((v) => python(v, deeper)),
      '[',
      ']',
      indent,
    );
  if (value && typeof value === 'object')
    return items(
      Object.entries(value).map(([k, v]) => `${JSON.stringify(k)}: ${python(v, deeper)}`),
      '{',
      '}',
      indent,
    );
  return value === null ? 'None' : JSON.stringify(value);
}

/* On one line where it fits. */
function items(list, open, close, indent) {
  const line = open + list.join(', ') + close;
  if (line.length < 60 && !line.includes('\n')) return line;
  return `${open}\n${list.map((x) => `${indent}    ${x},\n`).join('')}${indent}${close}`;
}

function curl({ path, body }, base, hasKey) {
  const key = hasKey ? ` \\\n  -H "Authorization: Bearer $API_KEY"` : '';
  return `curl -N ${shell(base + path)} \\\n  -H 'Content-Type: application/json'${key} \\\n  -d ${shell(JSON.stringify(body, null, 2))}`;
}

/* The client refuses names that it does not know, but hands on what is in extra_body. */
function openai({ path, body }, base, hasKey) {
  const isChat = path.endsWith('chat/completions');
  const { inputs, parameters = {}, ...named } = body;
  const extra = {};
  if (!isChat) {
    const { details, do_sample, max_new_tokens: max_tokens, ...rest } = parameters;
    const temperature = rest.temperature ?? ('top_k' in rest || 'top_p' in rest ? 1 : 0);
    Object.assign(named, {
      model: 'tgi',
      prompt: inputs,
      ...(max_tokens !== undefined && { max_tokens }),
      ...rest,
      temperature,
      stream: true,
    });
  }
  for (const { name, extra: isExtra } of SETTINGS)
    if (isExtra && name in named) {
      extra[name] = named[name];
      delete named[name];
    }
  if (Object.keys(extra).length) named.extra_body = extra;
  const args = Object.entries(named)
    .map(([k, v]) => `    ${k}=${python(v, '    ')},\n`)
    .join('');
  const piece = isChat ? 'chunk.choices[0].delta.content' : 'chunk.choices[0].text';
  return `${hasKey ? 'import os\n' : ''}from openai import OpenAI

client = OpenAI(base_url=${JSON.stringify(base + 'v1')}, api_key=${hasKey ? 'os.environ["API_KEY"]' : '"none"'})
stream = client.${isChat ? 'chat.' : ''}completions.create(
${args})
for chunk in stream:
    if chunk.choices:
        print(${piece} or "", end="", flush=True)`;
}

function requests({ path, body }, base, hasKey) {
  const isChat = path.endsWith('chat/completions');
  const piece = isChat
    ? `for choice in event["choices"]:\n            print(choice["delta"].get("content") or "", end="", flush=True)`
    : `if not event["token"]["special"]:\n            print(event["token"]["text"], end="", flush=True)`;
  return `import json
${hasKey ? 'import os\n' : ''}import requests

body = ${python(body)}
with requests.post(
    ${JSON.stringify(base + path)},
    json=body,${hasKey ? '\n    headers={"Authorization": "Bearer " + os.environ["API_KEY"]},' : ''}
    stream=True,
) as response:
    response.raise_for_status()
    for line in response.iter_lines():
        if not line.startswith(b"data:") or line == b"data: [DONE]":
            continue
        event = json.loads(line[5:])
        if "error" in event:
            raise SystemExit(event["error"])
        ${piece}`;
}

/* `base` ends with a slash. The key itself is never part of the text: it comes from the environment. */
export const SNIPPETS = { curl, openai, requests };
