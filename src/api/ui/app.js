/* The page: what is said, what is set, and what each key and button does. The other files know nothing of it. */
import { BASE, Failure, ask, look, modelName } from './api.js';
import { SETTINGS, SNIPPETS, chatRequest, textRequest } from './request.js';
import { Turn, statsText } from './turn.js';

const $ = (id) => document.getElementById(id);
const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;

/* The demo model is small: it knows these, and is at its best without chance. */
const DEMO = {
  id: 'prompteur/demo',
  temperature: '0',
  ideas: ['What is prompteur?', 'How do I send a request?', 'Tell me a story.'],
};
const RETRY_MS = 2000;

const turns = []; /* user and assistant in turn, the last one perhaps still growing */
const lastQuestion = () => turns.findLastIndex((t) => t.role === 'user');
let running = null; /* AbortController of the answer in flight */
let editing = false; /* the composer holds the last message of the user again */
let server = { info: {} }; /* what look() found last */
let watching = false;
let model = 'tgi'; /* as clients name it; any name is taken */

/* ---- the server ---- */

const sleep = (ms, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });

const STATES = {
  loading: 'The model is loading …',
  away: 'The server cannot be reached. Trying again …',
};

function showServer() {
  const { state, info } = server;
  $('model').dataset.state = state;
  $('model-name').textContent = STATES[state] ?? info.model_id;
  $('model-name').title = info.model_id ?? '';
  if (state === 'ready') showLimits(info);
}

function showLimits(info) {
  const count = (n) => Number(n).toLocaleString('en');
  $('limits').textContent = `${info.model_id} · ${count(info.max_total_tokens)} tokens for prompt and answer together`;
  const facts = {
    Model: info.model_id,
    Weights: [info.model_dtype, info.model_device_type].filter(Boolean).join(' on '),
    'Prompt and answer': `${count(info.max_total_tokens)} tokens`,
    'Longest prompt': `${count(info.max_input_tokens)} tokens`,
    'Requests at once': count(info.max_concurrent_requests),
    'Stop strings': count(info.max_stop_sequences),
    Version: info.version,
  };
  const element = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
  $('server').replaceChildren(
    ...Object.entries(facts).flatMap(([name, value]) => [element('dt', name), element('dd', value)]),
  );
}

/* Until the server answers; from then on failures tell. */
async function watchServer() {
  if (watching) return;
  watching = true;
  for (;;) {
    server = await look();
    showServer();
    if (server.state === 'ready') break;
    await sleep(RETRY_MS);
  }
  watching = false;
  model = (await modelName()) ?? server.info.model_id;
  if (server.info.model_id === DEMO.id) greetDemo();
  showSnippet();
}

function greetDemo() {
  const field = $('settings').elements.temperature;
  field.defaultValue = DEMO.temperature; /* what was typed stays */
  $('ideas').replaceChildren(
    ...DEMO.ideas.map((idea) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = idea;
      button.addEventListener('click', () => send(idea));
      return button;
    }),
  );
}

/* ---- settings ---- */

function makeFields() {
  const template = (s) => {
    const label = document.createElement('label');
    const name = document.createElement('span');
    const hint = document.createElement('small');
    const input = Object.assign(document.createElement('input'), {
      name: s.name,
      type: 'number',
      step: 'any',
      placeholder: s.empty,
    });
    name.textContent = s.label;
    hint.textContent = s.hint;
    input.addEventListener('keydown', (e) => stepField(e, input, s.step));
    label.append(name, hint, input);
    return label;
  };
  $('fields').replaceChildren(...SETTINGS.map(template));
}

/* Any number may be typed (the server says which are fit), but the arrow keys go in useful steps. */
function stepField(event, input, step) {
  const sign = { ArrowUp: 1, ArrowDown: -1 }[event.key];
  if (!sign) return;
  event.preventDefault();
  input.value = Number((Number(input.value) + sign * step).toFixed(2));
  input.dispatchEvent(new Event('input', { bubbles: true }));
}

const settings = () => Object.fromEntries(new FormData($('settings')));
const key = () => $('key').value.trim();

/* 'localStorage' or 'sessionStorage'; a browser may forbid them, then nothing is kept. */
function store(kind) {
  try {
    return globalThis[kind];
  } catch {
    return null;
  }
}

/* Kept for this tab, the key included; gone with it. */
function keepSettings() {
  store('sessionStorage')?.setItem('prompteur', JSON.stringify({ ...settings(), key: key(), mode: chosen('mode') }));
}

function restoreSettings() {
  const { key = '', mode = 'chat', ...fields } = JSON.parse(store('sessionStorage')?.getItem('prompteur') ?? '{}');
  for (const [name, value] of Object.entries(fields))
    if ($('settings').elements[name]) $('settings').elements[name].value = value;
  $('key').value = key;
  setMode(mode);
}

/* ---- the request and its text for elsewhere ---- */

/* Messages that got no answer are not part of a conversation; the last one waits for its own. */
const said = (list) => list.filter((t, i) => t.content && !(t.role === 'user' && list[i + 1]?.content === ''));

/* `messages`: what the request is about; the last one may be an answer that is to go on. */
function request(messages) {
  if (chosen('mode') === 'chat') return chatRequest(settings(), said(messages), model);
  const last = messages.findLastIndex((m) => m.role === 'user');
  const parts = messages.slice(last).map((m) => m.content);
  return textRequest(settings(), parts.join(''));
}

/* What Enter would send now; with nothing typed, what was sent last. */
function nextRequest() {
  const last = lastQuestion();
  const typed = { role: 'user', content: $('prompt').value };
  if (typed.content.trim()) return request([...(editing ? turns.slice(0, last) : turns), typed]);
  return request(last < 0 ? [{ role: 'user', content: 'Hello!' }] : turns.slice(0, last + 1));
}

function showSnippet() {
  if ($('code').hidden) return;
  const language = chosen('language');
  $('snippet').textContent = SNIPPETS[language](nextRequest(), BASE, Boolean(key()));
  $('snippet-name').textContent = language === 'curl' ? 'Shell' : `Python, ${language}`;
}

/* ---- the conversation ---- */

function add(role, content) {
  const turn = new Turn(role, content);
  turns.push(turn);
  $('turns').append(turn.node);
  $('welcome').hidden = true;
  return turn;
}

function dropFrom(index) {
  for (const turn of turns.splice(index)) turn.node.remove();
  $('welcome').hidden = turns.length > 0;
}

/* Ends of an answer whose notice offers to try again. */
const RETRIED = ['busy', 'failed', 'lost'];

/* Which buttons each message has now. */
function offer() {
  const lastAnswer = turns.at(-1);
  const question = turns[lastQuestion()];
  for (const turn of turns) {
    const actions = turn.role === 'assistant' && turn.content ? ['copy'] : [];
    if (!running && turn === question) actions.push('edit');
    if (!running && turn === lastAnswer && turn.role === 'assistant') {
      if (!RETRIED.includes(turn.finish)) actions.push('again');
      if (turn.content && ['length', 'stopped', 'lost'].includes(turn.finish)) actions.push('continue');
    }
    turn.allow(...actions);
  }
  $('send').hidden = Boolean(running);
  $('stop').hidden = !running;
  showSnippet();
}

const nearEnd = () => $('log').scrollHeight - $('log').scrollTop - $('log').clientHeight < 80;
const toEnd = () => $('log').scrollTo({ top: $('log').scrollHeight });

function send(text) {
  if (running || !text.trim()) return;
  if (editing) dropFrom(lastQuestion());
  stopEditing();
  $('prompt').value = '';
  fitPrompt();
  add('user', text);
  answer(add('assistant', ''));
}

function regenerate() {
  if (running || turns.at(-1)?.role !== 'assistant') return;
  $('prompt').focus(); /* the button that was pressed goes */
  dropFrom(turns.length - 1);
  answer(add('assistant', ''));
}

/* Lets `turn`, the last one, be written by the model; what it holds already is continued. */
async function answer(turn) {
  const control = (running = new AbortController());
  const sent = turns.slice(0, turn.content ? undefined : -1);
  turn.plain = chosen('mode') === 'text';
  turn.finish = undefined;
  turn.notice(null);
  turn.busy = true;
  offer();
  toEnd();
  announce('Answering.');
  const error = await readWhenReady(turn, request(sent), control.signal).catch((e) => e);
  const follow = nearEnd();
  running = null;
  turn.busy = false;
  if (control.signal.aborted) turn.finish = 'stopped';
  else if (error) explain(turn, error);
  else if (!turn.content) turn.finish = 'empty';
  turn.stats = { ...turn.numbers, finish: turn.finish };
  if (turn.finish === 'stopped') announce('Stopped.');
  else if (!error) announce(`${speech(turn, true)} ${statsText(turn.numbers)}.`);
  $('live').textContent = '';
  offer();
  if (follow) toEnd();
}

/* Waits for a model that is still loading. */
async function readWhenReady(turn, what, signal) {
  for (;;) {
    try {
      return await read(turn, what, signal);
    } catch (error) {
      if (error.kind !== 'loading') throw error;
    }
    turn.notice('The model is still loading. Your message is sent as soon as it is ready.');
    await sleep(RETRY_MS, signal);
    turn.notice(null);
  }
}

/* Reads the stream into `turn`. */
async function read(turn, what, signal) {
  const began = performance.now();
  const numbers = (turn.numbers = { tokens: 0 });
  turn.spoken = turn.content.length;
  try {
    for await (const part of ask(what, key(), signal)) {
      if (part.text) {
        numbers.lastMs = performance.now() - began;
        numbers.firstMs ??= numbers.lastMs;
        numbers.tokens++;
        turn.content += part.text;
        paint(turn);
      }
      if (part.finish) turn.finish = part.finish;
      if (part.tokens) Object.assign(numbers, { tokens: part.tokens, prompt: part.prompt });
    }
  } finally {
    turn.show();
  }
}

/* Once a frame at most, however fast tokens come. */
function paint(turn) {
  if (turn.painting) return;
  turn.painting = true;
  requestAnimationFrame(() => {
    turn.painting = false;
    const follow = nearEnd();
    turn.show();
    if (follow) toEnd();
    $('live').textContent = running ? statsText(turn.numbers) : '';
    const said = speech(turn);
    if (said) announce(said);
  });
}

/* What of the answer a screen reader has not been given yet, in whole sentences. */
function speech(turn, all = false) {
  const rest = turn.content.slice(turn.spoken);
  const end = all ? rest.length : Math.max(...['. ', '! ', '? ', '\n'].map((m) => rest.lastIndexOf(m))) + 1;
  turn.spoken += end;
  return rest.slice(0, end).trim();
}

function announce(text) {
  $('announce').textContent = text;
}

/* What went wrong, and the one thing that helps. */
function explain(turn, error) {
  if (!(error instanceof Failure)) console.error(error);
  const sentence =
    error instanceof Failure ? error.message : 'The server sent something that this page does not understand.';
  const ways = {
    key: ['Enter the key', () => openSettings($('key'))],
    template: ['Send it as plain text', () => (setMode('text'), regenerate())],
    refused: ['Look at the settings', () => openSettings($('settings').elements.temperature)],
  };
  const [label, act] = ways[error.kind] ?? ['Try again', regenerate];
  turn.finish = error.kind ?? 'failed';
  turn.notice(sentence, label, act);
  if (error.kind === 'lost') watchServer();
}

function openSettings(field) {
  showTab('settings');
  openPanel(true);
  field.focus();
}

function clear() {
  running?.abort();
  stopEditing();
  dropFrom(0);
  offer();
  announce('New conversation.');
  $('prompt').focus();
}

/* ---- editing the last message ---- */

function edit() {
  if (running) return;
  editing = true;
  $('editing').hidden = false;
  $('prompt').value = turns[lastQuestion()].content;
  fitPrompt();
  $('prompt').focus();
}

function stopEditing() {
  if (editing) $('prompt').value = '';
  editing = false;
  $('editing').hidden = true;
  fitPrompt();
}

/* ---- parts of the page ---- */

function fitPrompt() {
  const box = $('prompt');
  box.style.height = 'auto';
  box.style.height = `${box.scrollHeight}px`;
  showSnippet();
}

const isNarrow = matchMedia('(max-width: 60rem)');

/* On a small screen the panel covers the page: then the rest is out of reach. */
function openPanel(open) {
  const panel = $('panel');
  panel.hidden = !open;
  $('panel-button').setAttribute('aria-expanded', String(open));
  for (const part of [document.querySelector('header'), document.querySelector('main')])
    part.inert = open && isNarrow.matches;
  if (open && isNarrow.matches) $('panel-close').focus();
  showSnippet();
}

function closePanel() {
  openPanel(false);
  $('panel-button').focus();
}

function showTab(name) {
  document.querySelector(`input[name=tab][value=${name}]`).checked = true;
  $('settings').hidden = $('access').hidden = name !== 'settings';
  $('code').hidden = name !== 'code';
  showSnippet();
}

function setMode(mode) {
  document.querySelector(`input[name=mode][value=${mode}]`).checked = true;
  const isChat = mode === 'chat';
  $('prompt').placeholder = isChat ? 'Message' : 'A text for the model to go on with';
  $('prompt-label').textContent = isChat ? 'Message' : 'Text';
  $('greeting').textContent = isChat ? 'Say something.' : 'Begin a text.';
  $('settings').elements.system.closest('label').hidden = !isChat;
  keepSettings();
  showSnippet();
}

const THEMES = { system: 'as the system', light: 'light', dark: 'dark' };

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  const text = `Colours: ${THEMES[theme]}`;
  $('theme').title = text;
  $('theme').querySelector('.unseen').textContent = text;
  store('localStorage')?.setItem('prompteur-theme', theme);
}

function nextTheme() {
  const names = Object.keys(THEMES);
  setTheme(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
}

async function copy(button, text) {
  const label = button.textContent;
  const copied = await navigator.clipboard?.writeText(text).then(
    () => true,
    () => false,
  );
  button.textContent = (copied ?? copyOldWay(text)) ? 'Copied' : 'Not allowed';
  announce(button.textContent);
  button.focus();
  setTimeout(() => (button.textContent = label), 1500);
}

/* Pages from another machine without TLS have no clipboard, but may copy what is selected. */
function copyOldWay(text) {
  const box = Object.assign(document.createElement('textarea'), { value: text, className: 'unseen' });
  document.body.append(box);
  box.select();
  const copied = document.execCommand('copy');
  box.remove();
  return copied;
}

/* ---- keys and buttons ---- */

const ACTIONS = {
  copy: (button, turn) => copy(button, turn.content),
  edit,
  again: regenerate,
  continue: (button, turn) => answer(turn),
};

function listen() {
  $('composer').addEventListener('submit', (e) => {
    e.preventDefault();
    send($('prompt').value);
  });
  $('prompt').addEventListener('input', fitPrompt);
  $('prompt').addEventListener('keydown', (e) => {
    if (e.key !== 'Enter' || e.shiftKey || e.isComposing || e.keyCode === 229) return; /* 229: Safari composes */
    e.preventDefault();
    send($('prompt').value);
  });
  $('stop').addEventListener('click', () => (running?.abort(), $('prompt').focus()));
  document.addEventListener('keydown', (e) => {
    if (e.key !== 'Escape' || e.isComposing) return;
    if (running) running.abort();
    else if (editing) stopEditing();
    else if (!$('panel').hidden) closePanel();
  });
  $('edit-cancel').addEventListener('click', () => (stopEditing(), $('prompt').focus()));
  $('clear').addEventListener('click', clear);
  $('theme').addEventListener('click', nextTheme);
  $('panel-button').addEventListener('click', () => openPanel($('panel').hidden));
  $('panel-close').addEventListener('click', closePanel);
  isNarrow.addEventListener('change', () => openPanel(!$('panel').hidden));
  for (const id of ['mode', 'tab', 'language'])
    $(id).addEventListener('change', () => ({ mode: setMode, tab: showTab, language: showSnippet })[id](chosen(id)));
  $('panel').addEventListener('input', () => (keepSettings(), showSnippet()));
  $('settings').addEventListener('reset', () => setTimeout(() => (keepSettings(), showSnippet())));
  $('settings').addEventListener('submit', (e) => e.preventDefault());
  $('access').addEventListener('submit', (e) => {
    e.preventDefault();
    if (turns.at(-1)?.finish === 'key') regenerate();
  });
  document.addEventListener('click', (e) => {
    const button = e.target.closest('button[data-copy], button[data-action]');
    if (!button) return;
    if ('copy' in button.dataset) return copy(button, button.closest('figure').querySelector('code').textContent);
    const turn = turns.find((t) => t.node.contains(button));
    ACTIONS[button.dataset.action](button, turn);
  });
}

setTheme(store('localStorage')?.getItem('prompteur-theme') ?? 'system');
makeFields();
restoreSettings();
listen();
showTab('settings');
openPanel(!isNarrow.matches && innerWidth > 1100);
fitPrompt();
watchServer();
