/* The API's page: the OpenAPI document as people read it, and a form to send each request. Text from the document or
 * from the server never becomes markup. */

const DOCUMENT = new URL('../api-doc/openapi.json', location.href);
const BASE = new URL('..', location.href).href.replace(/\/$/, '');
const $ = (id) => document.getElementById(id);

/* An element: attributes (functions listen), then children. */
function el(name, attributes = {}, ...children) {
  const e = document.createElement(name);
  for (const [k, v] of Object.entries(attributes)) {
    if (typeof v === 'function') e.addEventListener(k, v);
    else if (v !== undefined) e.setAttribute(k, v);
  }
  e.append(...children.filter((x) => x !== undefined));
  return e;
}

/* `code` in a text of the document becomes code; nothing else does. */
const prose = (text = '') => text.split('`').map((x, i) => (i % 2 ? el('code', {}, x) : x));

function paragraphs(text) {
  const parts = [];
  for (const line of text.split('\n').filter(Boolean)) {
    const item = line.startsWith('- ');
    if (item && parts.at(-1)?.tagName !== 'UL') parts.push(el('ul'));
    if (item) parts.at(-1).append(el('li', {}, ...prose(line.slice(2))));
    else parts.push(el('p', {}, ...prose(line)));
  }
  return parts;
}

/* ---- schemas ---- */

let schemas = {};
const nameOf = (schema) => schema.$ref?.split('/').at(-1);
const resolve = (schema) => (schema.$ref ? resolve(schemas[nameOf(schema)]) : schema);
const link = (name) => el('a', { href: `#schema-${name}` }, name);

function between(list, word) {
  return list.flatMap((x, i) => (i ? [word, ...x] : x));
}

function bounds(s) {
  const parts = [];
  if (s.minimum !== undefined) parts.push(`${s.exclusiveMinimum ? '>' : '≥'} ${s.minimum}`);
  if (s.maximum !== undefined) parts.push(`${s.exclusiveMaximum ? '<' : '≤'} ${s.maximum}`);
  return parts.length ? [` ${parts.join(', ')}`] : [];
}

/* A schema in a line: words and links. */
function typeOf(s) {
  const orNull = s.nullable ? [' or null'] : [];
  if (s.$ref) return [link(nameOf(s))];
  if (s.enum) return [...between(s.enum.map((x) => [JSON.stringify(x)]), ' or ')];
  if (s.allOf) return [...between(s.allOf.map(typeOf), ' and '), ...orNull];
  if (s.anyOf ?? s.oneOf) return [...between((s.anyOf ?? s.oneOf).map(typeOf), ' or '), ...orNull];
  if (s.type === 'array') return ['list of ', ...typeOf(s.items), ...orNull];
  if (s.type === 'object' && s.properties) {
    return ['{ ', ...between(Object.entries(s.properties).map(([k, v]) => [`${k}: `, ...typeOf(v)]), ', '), ' }', ...orNull];
  }
  if (s.type === 'object' && s.additionalProperties?.type) return ['object of ', ...typeOf(s.additionalProperties), ...orNull];
  return [s.type ?? 'anything', ...bounds(s), ...orNull];
}

function propertyTable(s) {
  const rows = Object.entries(s.properties).map(([name, p]) =>
    el('tr', {},
      el('td', {}, el('code', {}, name), s.required?.includes(name) ? ' *' : ''),
      el('td', {}, ...typeOf(p)),
      el('td', {}, ...prose(p.description))));
  return el('table', {},
    el('thead', {}, el('tr', {}, ...['Name (* required)', 'Type', 'Meaning'].map((x) => el('th', { scope: 'col' }, x)))),
    el('tbody', {}, ...rows));
}

function schemaView(name, s) {
  return el('details', { id: `schema-${name}` },
    el('summary', {}, el('code', {}, name)),
    el('div', { class: 'inside' },
      el('p', {}, ...prose(s.description)),
      s.properties ? propertyTable(s) : el('p', {}, ...typeOf(s))));
}

/* A small value of a schema: its own example, else what is required. */
function exampleOf(s) {
  if (s.example !== undefined) return s.example;
  if (s.$ref) return exampleOf(resolve(s));
  const some = s.allOf ?? s.anyOf ?? s.oneOf;
  if (some) return exampleOf(some[0]);
  if (s.type === 'object') return Object.fromEntries((s.required ?? []).map((k) => [k, exampleOf(s.properties[k])]));
  if (s.type === 'array') return [exampleOf(s.items)];
  return { string: '', integer: 0, number: 0, boolean: false }[s.type] ?? null;
}

/* ---- trying out ---- */

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function curl(method, path, body, keyed) {
  const lines = [`curl -N ${quoted(BASE + path)}`];
  if (keyed) lines.push('-H "Authorization: Bearer $API_KEY"');
  if (method === 'post') lines.push("-H 'Content-Type: application/json'", `-d ${quoted(body)}`);
  return lines.join(' \\\n  ');
}

async function send(method, path, body, signal, show) {
  const headers = $('key').value ? { authorization: `Bearer ${$('key').value}` } : {};
  if (method === 'post') headers['content-type'] = 'application/json';
  const answer = await fetch(BASE + path, { method, headers, signal, body: method === 'post' ? body : undefined });
  const type = answer.headers.get('content-type') ?? '';
  let text = '';
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    text += part.value;
    show(answer.status, text);
  }
  show(answer.status, type.startsWith('application/json') ? JSON.stringify(JSON.parse(text), null, 2) : text);
}

function form(method, path, op) {
  const schema = op.requestBody?.content['application/json'].schema;
  const body = schema && el('textarea', { 'aria-label': `Body of ${path}`, spellcheck: 'false', input: () => refresh() });
  if (body) body.value = JSON.stringify(exampleOf(schema), null, 2);
  const command = el('pre', { tabindex: '0', 'aria-label': 'The same with curl' });
  const status = el('p', { role: 'status' }), text = el('pre', { tabindex: '0', 'aria-label': 'Answer', hidden: '' });
  let running = null;
  const refresh = () => (command.textContent = curl(method, path, body?.value, op.security && $('key').value));
  const show = (code, all) => {
    status.textContent = `Status ${code}`;
    text.hidden = false;
    text.textContent = all;
  };
  const stop = el('button', { type: 'button', disabled: '', click: () => running?.abort() }, 'Stop');
  const go = el('button', { type: 'button', class: 'send', click: async () => {
    running?.abort();
    const mine = (running = new AbortController());
    stop.disabled = false;
    status.textContent = 'Waiting …';
    text.textContent = '';
    await send(method, path, body?.value, mine.signal, show).catch((e) => {
      if (running === mine) status.textContent = mine.signal.aborted ? 'Stopped' : `Failed: ${e.message}`;
    });
    if (running === mine) stop.disabled = true;
  } }, 'Send');
  const copy = el('button', { type: 'button', click: async () => {
    await navigator.clipboard?.writeText(command.textContent);
    copy.textContent = 'Copied';
    setTimeout(() => (copy.textContent = 'Copy curl'), 1500);
  } }, 'Copy curl');
  $('key').addEventListener('input', refresh);
  refresh();
  return el('div', {}, el('h3', {}, 'Try it'), body, el('div', { class: 'buttons' }, go, stop, copy), command, status, text);
}

/* ---- operations ---- */

function responseTable(responses) {
  const rows = Object.entries(responses).map(([status, r]) =>
    el('tr', {},
      el('td', {}, el('code', {}, status)),
      el('td', {}, ...prose(r.description)),
      el('td', {}, ...between(Object.entries(r.content ?? {}).map(([type, c]) => [el('code', {}, type), ' ', ...typeOf(c.schema)]), el('br')))));
  return el('table', {},
    el('thead', {}, el('tr', {}, ...['Status', 'Meaning', 'Body'].map((x) => el('th', { scope: 'col' }, x)))),
    el('tbody', {}, ...rows));
}

function operationView(method, path, op) {
  const schema = op.requestBody?.content['application/json'].schema;
  const view = el('details', { id: op.operationId },
    el('summary', {}, el('span', { class: `method ${method}` }, method.toUpperCase()), el('code', {}, path), el('span', {}, ...prose(op.summary))));
  view.addEventListener('toggle', () => {
    if (view.childElementCount > 1) return; /* made when it is first looked at */
    view.append(el('div', { class: 'inside' },
      op.security && el('p', { class: 'quiet' }, 'Needs the API key where the server has one.'),
      schema && el('h3', {}, 'Body: ', ...typeOf(schema)),
      schema && resolve(schema).properties && propertyTable(resolve(schema)),
      el('h3', {}, 'Answers'), responseTable(op.responses),
      form(method, path, op)));
  });
  return view;
}

const operations = (doc) =>
  Object.entries(doc.paths).flatMap(([path, ops]) => Object.entries(ops).map(([method, op]) => ({ method, path, op })));

function show(doc) {
  schemas = doc.components.schemas;
  $('title').textContent = doc.info.title;
  $('version').textContent = doc.info.version;
  $('about').append(...paragraphs(doc.info.description));
  for (const tag of doc.tags) {
    const mine = operations(doc).filter((x) => x.op.tags.at(-1) === tag.name);
    if (mine.length === 0) continue;
    $('operations').append(el('section', {}, el('h2', {}, tag.name), el('p', { class: 'quiet' }, ...prose(tag.description)),
      ...mine.map((x) => operationView(x.method, x.path, x.op))));
    $('contents').append(el('h2', {}, tag.name),
      el('ul', {}, ...mine.map((x) => el('li', {}, el('a', { href: `#${x.op.operationId}` }, `${x.method.toUpperCase()} ${x.path}`)))));
  }
  $('schemas').append(...Object.entries(schemas).map(([name, s]) => schemaView(name, s)));
  $('schemas').hidden = false;
  $('contents').append(el('h2', {}, 'Schemas'), el('ul', {}, ...Object.keys(schemas).map((x) => el('li', {}, link(x)))));
  $('status').hidden = true;
}

/* ---- moving about ---- */

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.tagName !== 'DETAILS') return;
  target.open = true;
  target.scrollIntoView();
  target.querySelector('summary').focus({ preventScroll: true });
}

$('find').addEventListener('input', () => {
  const word = $('find').value.trim().toLowerCase();
  for (const d of document.querySelectorAll('main details')) {
    d.hidden = !`${d.id} ${d.querySelector('summary').textContent}`.toLowerCase().includes(word);
  }
});
addEventListener('hashchange', openTarget);

try {
  const answer = await fetch(DOCUMENT);
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  show(await answer.json());
  openTarget();
} catch (e) {
  $('status').textContent = `The document could not be read: ${e.message}`;
}
