/* The page at /ui in a real Chromium, against the real program. Pictures of its states are kept (support.js says where). */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { ROOT, accessible, launch, open, picture, serve, until } from './support.js';

const run = promisify(execFile);
const PYTHON = process.env.PROMPTEUR_PYTHON ?? join(ROOT, '.venv/bin/python');
const FILES = readdirSync(join(ROOT, 'src/api/ui'));

let browser, server, slow;

before(async () => {
  [browser, server, slow] = await Promise.all([launch(), serve(), serve('--backend', 'ref')]);
});

after(async () => {
  await browser?.close();
  for (const s of [server, slow]) {
    assert.equal(await s?.stop(), 0);
    assert.doesNotMatch(s.log(), /ERROR|Sanitizer/);
  }
});

/* A test with a page of its own, which may ask nobody but its server and must not make the browser complain. */
function pageTest(name, options, body) {
  if (!body) [options, body] = [{}, options];
  test(name, { timeout: 120000 }, async (t) => {
    const at = options.server?.() ?? server;
    const page = await open(browser, at, options);
    await body(page, t);
    const elsewhere = page.asked.filter((url) => !url.startsWith(at.url + '/') && !url.startsWith('data:'));
    assert.deepEqual(elsewhere, [], 'requests to elsewhere');
    assert.deepEqual(page.complaints, [], 'complaints of the browser');
    await page.context().close();
  });
}

const answers = (page) => page.locator('.assistant .text');
const answered = (page, n = 1) =>
  page
    .locator('.assistant[aria-busy=false]')
    .nth(n - 1)
    .waitFor();
const notice = (page) => page.locator('.notice').innerText();
const pick = (page, value) => page.locator(`input[value=${value}]`).check();

/* Begins an answer of the slow server that takes seconds: what ends it early is not there at this penalty. */
async function beginLongAnswer(page) {
  await page.locator('[name=repetition_penalty]').fill('5');
  await say(page, 'Tell me a story.');
  await until(async () => (await answers(page).innerText()).length > 20, 'the answer begins');
}

async function say(page, text) {
  await page.locator('#prompt').fill(text);
  await page.keyboard.press('Enter');
}

/* The bodies of the requests to `path`, as they are sent. */
function bodies(page, path) {
  const sent = [];
  page.on('request', (r) => r.url().endsWith(path) && r.method() === 'POST' && sent.push(r.postDataJSON()));
  return sent;
}

const sse = (...events) => ({
  status: 200,
  contentType: 'text/event-stream',
  body: events.map((e) => `data: ${typeof e === 'string' ? e : JSON.stringify(e)}\n\n`).join(''),
});
const chatSays = (text) =>
  sse(
    { choices: [{ index: 0, delta: { role: 'assistant', content: text }, finish_reason: null }], usage: null },
    { choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: 'stop' }], usage: null },
    { choices: [], usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 } },
    '[DONE]',
  );

/* ---- being served ---- */

test('the files are the sources, small, typed, kept by tag, and shut in by a policy', async () => {
  let bytes = 0;
  for (const name of FILES) {
    const url = `${server.url}/ui${name === 'index.html' ? '' : `/${name}`}`;
    const response = await fetch(url);
    assert.equal(response.status, 200, name);
    const text = await response.text();
    assert.equal(text, readFileSync(join(ROOT, 'src/api/ui', name), 'utf8'), name);
    bytes += Buffer.byteLength(text);
    assert.match(
      response.headers.get('content-type'),
      { html: /^text\/html; charset=utf-8$/, css: /^text\/css/, js: /^text\/javascript/ }[name.split('.').pop()],
    );
    assert.match(
      response.headers.get('content-security-policy'),
      /^default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self';/,
    );
    assert.equal(response.headers.get('x-content-type-options'), 'nosniff');
    assert.equal(response.headers.get('referrer-policy'), 'no-referrer');
    const tag = response.headers.get('etag');
    const again = await fetch(url, { headers: { 'if-none-match': tag } });
    assert.equal(again.status, 304, name);
    assert.equal(await again.text(), '');
    assert.equal(again.headers.get('content-length'), null);
    assert.equal((await fetch(url, { headers: { 'if-none-match': '"another"' } })).status, 200);
    const head = await fetch(url, { method: 'HEAD' });
    assert.equal(head.headers.get('content-length'), String(Buffer.byteLength(text)));
  }
  assert.ok(bytes < 60000, `${bytes} bytes`);
  assert.match(server.log(), /talk to it in a browser: http:\/\/127\.0\.0\.1:\d+\/ui/);
});

test('--disable-ui takes it away', async () => {
  const without = await serve('--disable-ui');
  for (const path of ['', '/app.js', '/app.css']) assert.equal((await fetch(`${without.url}/ui${path}`)).status, 404);
  assert.equal((await fetch(`${without.url}/info`)).status, 200);
  assert.doesNotMatch(without.log(), /\/ui/);
  assert.equal(await without.stop(), 0);
});

test('it works behind a prefix', { timeout: 120000 }, async () => {
  const proxy = createServer((request, response) => {
    if (!request.url.startsWith('/llm/')) return response.writeHead(404).end();
    const { hostname, port } = new URL(server.url);
    request.pipe(
      httpRequest(
        { hostname, port, path: request.url.slice(4), method: request.method, headers: request.headers },
        (r) => {
          response.writeHead(r.statusCode, r.headers);
          r.pipe(response);
        },
      ),
    );
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const page = await open(browser, { url: `http://127.0.0.1:${proxy.address().port}` }, { path: '/llm/ui' });
  await say(page, 'What is prompteur?');
  await answered(page);
  assert.match(await answers(page).innerText(), /server for open language models/);
  await page.context().close();
  proxy.closeAllConnections();
  await new Promise((resolve) => proxy.close(resolve));
});

/* ---- talking ---- */

pageTest(
  'a conversation streams, ends, counts and goes on',
  { server: () => slow, colorScheme: 'light' },
  async (page) => {
    const sent = bodies(page, '/v1/chat/completions');
    await page.locator('#ideas button').first().waitFor();
    await picture(page, 'welcome-light');
    assert.match(await page.locator('#model').innerText(), /prompteur\/demo/);
    assert.match(await page.locator('#limits').innerText(), /1,024 tokens/);
    await say(page, 'What is prompteur?');
    const lengths = new Set();
    await until(async () => {
      const text = await answers(page).innerText();
      if (text) lengths.add(text.length);
      return (await page.locator('.assistant').getAttribute('aria-busy')) === 'false';
    }, 'the answer ends');
    assert.ok(lengths.size > 2, 'the answer grew before it ended');
    assert.match(await answers(page).innerText(), /^prompteur is a server for open language models/);
    assert.match(
      await page.locator('.stats').innerText(),
      /^\d+ tokens · [\d.,]+ tokens\/s · first after [\d,]+ ms · 17 prompt tokens$/,
    );
    await until(async () => /\d+ tokens/.test(await page.locator('#announce').innerText()), 'its end is announced');
    assert.equal(await page.locator('#prompt').inputValue(), '');

    await page.keyboard.type('Tell me');
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.type('a story.');
    await page.keyboard.press('Enter');
    await answered(page, 2);
    assert.deepEqual(
      sent[1].messages.map((m) => m.role),
      ['user', 'assistant', 'user'],
    );
    assert.equal(sent[1].messages[2].content, 'Tell me\na story.');
    assert.equal(sent[1].messages[1].content, await answers(page).first().innerText());
    await picture(page, 'conversation-light');
  },
);

for (const [way, act] of [
  ['the button', (page) => page.locator('#stop').click()],
  ['Escape', (page) => page.keyboard.press('Escape')],
])
  pageTest(`${way} stops an answer, which can then go on`, { server: () => slow }, async (page) => {
    const dropped = async () =>
      Number(
        /tgi_request_failure\{err="dropped"\} (\d+)/.exec(await (await fetch(`${slow.url}/metrics`)).text())?.[1] ?? 0,
      );
    const before = await dropped();
    const sent = bodies(page, '/v1/chat/completions');
    await beginLongAnswer(page);
    if (way === 'Escape') await picture(page, 'streaming');
    await act(page);
    await answered(page);
    const text = await answers(page).innerText();
    assert.match(await page.locator('.stats').innerText(), /stopped$/);
    await until(async () => (await dropped()) === before + 1, 'the server lets go of it');
    await page.locator('[name=max_tokens]').fill('9');
    await page.locator('[data-action=continue]').click();
    await until(
      async () => sent.length === 2 && (await page.locator('.assistant').getAttribute('aria-busy')) === 'false',
      'it went on to its end',
    );
    assert.deepEqual(
      sent[1].messages.map((m) => m.role),
      ['user', 'assistant'],
    );
    const whole = await answers(page).innerText();
    assert.ok(whole.startsWith(text.trimEnd()) && whole.length > text.length);
  });

pageTest('the last message can be changed, the answer made anew, everything cleared', async (page) => {
  const sent = bodies(page, '/v1/chat/completions');
  await say(page, 'What is prompteur?');
  await answered(page);
  await say(page, 'Tell me a story.');
  await answered(page, 2);
  await page.locator('[data-action=again]:visible').click();
  await until(async () => sent.length === 3, 'a third request');
  await answered(page, 2);
  assert.deepEqual(sent[2], sent[1]);
  assert.equal(await page.locator('[data-action=edit]:visible').count(), 1);
  await page.locator('[data-action=edit]:visible').click();
  assert.equal(await page.locator('#prompt').inputValue(), 'Tell me a story.');
  await page.keyboard.press('Escape');
  assert.equal(await page.locator('#prompt').inputValue(), '');
  await page.locator('[data-action=edit]:visible').click();
  await say(page, 'How do I send a request?');
  await until(async () => sent.length === 4, 'a fourth request');
  await answered(page, 2);
  assert.deepEqual(
    sent[3].messages.map((m) => m.content).filter((_, i) => i !== 1),
    ['What is prompteur?', 'How do I send a request?'],
  );
  assert.equal(await page.locator('.user').count(), 2);
  await page.locator('#clear').click();
  assert.equal(await page.locator('.turn').count(), 0);
  assert.ok(await page.locator('#welcome').isVisible());
});

pageTest('settings reach the request, and stay for this tab', async (page) => {
  const chat = bodies(page, '/v1/chat/completions'),
    text = bodies(page, '/generate_stream');
  const set = {
    temperature: '0.5',
    max_tokens: '7',
    top_p: '0.9',
    top_k: '40',
    repetition_penalty: '1.1',
    frequency_penalty: '0.2',
    seed: '42',
  };
  for (const [name, value] of Object.entries(set)) await page.locator(`#settings [name=${name}]`).fill(value);
  await page.locator('[name=system]').fill('You are brief.');
  await page.locator('[name=stop]').fill('The end\n\\n\\n\n\\\\n');
  const numbers = Object.fromEntries(Object.entries(set).map(([k, v]) => [k, Number(v)]));
  const stop = ['The end', '\n\n', '\\n'];
  await say(page, 'Hello');
  await answered(page);
  assert.equal(await page.locator('.notice').count(), 0);
  assert.deepEqual(chat[0], {
    model: 'prompteur/demo',
    messages: [
      { role: 'system', content: 'You are brief.' },
      { role: 'user', content: 'Hello' },
    ],
    ...numbers,
    stop,
    stream: true,
    stream_options: { include_usage: true },
  });
  await pick(page, 'text');
  await say(page, 'Once upon a time');
  await answered(page, 2);
  const { max_tokens: max_new_tokens, ...rest } = numbers;
  assert.deepEqual(text[0], {
    inputs: 'Once upon a time',
    parameters: { ...rest, max_new_tokens, do_sample: true, stop, details: true },
  });
  await page.reload();
  assert.equal(await page.locator('[name=top_k]').inputValue(), '40');
  assert.ok(await page.locator('input[value=text]').isChecked());
  await page.locator('[name=top_k]').press('ArrowUp');
  assert.equal(await page.locator('[name=top_k]').inputValue(), '41');
  await page.locator('[type=reset]').click();
  await until(async () => (await page.locator('[name=top_k]').inputValue()) === '', 'defaults');
});

pageTest('plain text goes on', async (page) => {
  const sent = bodies(page, '/generate_stream');
  await pick(page, 'text');
  await page.locator('[name=max_tokens]').fill('8');
  await page.locator('#prompt').fill('Once upon a time');
  await page.keyboard.press('Enter');
  await answered(page);
  const first = await answers(page).evaluate((e) => e.textContent);
  assert.ok(first.length > 10);
  assert.match(await page.locator('.stats').innerText(), /^8 tokens · .* prompt tokens · cut at the limit$/);
  await page.locator('[data-action=continue]').click();
  await until(
    async () => sent.length === 2 && (await page.locator('.assistant').getAttribute('aria-busy')) === 'false',
    'more',
  );
  assert.equal(sent[1].inputs, 'Once upon a time' + first);
  await picture(page, 'text');
});

/* ---- the same request elsewhere ---- */

/* What a snippet prints, run as a person would. */
async function output(language, code) {
  const env = { ...process.env, API_KEY: 'sesame', PYTHONUTF8: '1' };
  if (language === 'curl') {
    const { stdout } = await run('bash', ['-c', code], { env });
    const events = stdout
      .split('\n')
      .filter((l) => l.startsWith('data: {'))
      .map((l) => JSON.parse(l.slice(6)));
    return events
      .map((e) => (e.token ? (e.token.special ? '' : e.token.text) : (e.choices[0]?.delta.content ?? '')))
      .join('');
  }
  return (await run(PYTHON, ['-c', code], { env })).stdout;
}

for (const mode of ['chat', 'text'])
  for (const flags of [[], ['--api-key', 'sesame']])
    test(`curl and Python give the page's answer: ${mode} ${flags.join(' ')}`, { timeout: 120000 }, async () => {
      const own = flags.length ? await serve(...flags) : server;
      const page = await open(browser, own);
      await pick(page, mode);
      await page.locator('[name=max_tokens]').fill('12');
      await page.locator('[name=temperature]').fill('0');
      await page.locator('[name=top_k]').fill('50');
      await page.locator('[name=repetition_penalty]').fill('1.01');
      await page.locator('[name=stop]').fill('never\\nthis "one"');
      if (flags.length) await page.locator('#key').fill('sesame');
      const text = `It's a "test" of \`quotes\` and $HOME,\nüñí → 🙂 \\n 'all' of them.\nOnce upon a time`;
      await page.locator('#prompt').fill(text);
      await pick(page, 'code');
      const codes = {};
      for (const language of ['curl', 'openai', 'requests']) {
        await pick(page, language);
        codes[language] = await page.locator('#snippet').textContent();
        assert.ok(!codes[language].includes('sesame'), 'the key is not shown');
        await page.locator('#code [data-copy]').click();
        assert.equal(await page.evaluate(() => navigator.clipboard.readText()), codes[language]);
      }
      await page.locator('#prompt').press('Enter');
      await answered(page);
      const answer = await page.evaluate(() => document.querySelector('.assistant .text').textContent);
      assert.ok(answer.length > 10);
      for (const [language, code] of Object.entries(codes)) {
        const said = await output(language, code);
        assert.equal(mode === 'chat' ? said.trim() : said, mode === 'chat' ? answer.trim() : answer, language);
      }
      await page.context().close();
      if (flags.length) assert.equal(await own.stop(), 0);
    });

/* ---- when something is wrong ---- */

test('an API key is asked for, used, and kept in the tab only', { timeout: 120000 }, async () => {
  const locked = await serve('--api-key', 'sesame');
  const page = await open(browser, locked);
  await say(page, 'What is prompteur?');
  await page.locator('.notice').waitFor();
  assert.match(await notice(page), /asks for an API key/);
  await picture(page, 'key');
  await page.locator('.notice button').click();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'key');
  await page.keyboard.type('wrøng→');
  await page.keyboard.press('Enter');
  await page.locator('.notice').waitFor();
  assert.match(await notice(page), /asks for an API key/);
  await page.locator('#key').fill('sesame');
  await page.locator('#key').press('Enter');
  await until(async () => /server for open language models/.test(await answers(page).innerText()), 'an answer');
  const kept = await page.evaluate(() => [
    JSON.stringify({ ...localStorage }),
    document.cookie,
    location.href,
    JSON.stringify({ ...sessionStorage }),
  ]);
  assert.deepEqual(
    kept.map((k) => k.includes('sesame')),
    [false, false, false, true],
  );
  await page.context().close();
  assert.equal(await locked.stop(), 0);
  assert.doesNotMatch(locked.log(), /sesame|What is prompteur/);
});

pageTest('busy: says so and tries again on demand', { colorScheme: 'dark' }, async (page) => {
  await page.route(
    '**/v1/chat/completions',
    (r) =>
      r.fulfill({
        status: 429,
        contentType: 'application/json',
        body: '{"error":"Model is overloaded","error_type":"overloaded"}',
      }),
    { times: 1 },
  );
  await say(page, 'What is prompteur?');
  await page.locator('.notice').waitFor();
  assert.match(await notice(page), /server is busy/);
  await accessible(page, 'error');
  await picture(page, 'error-dark');
  await page.locator('.notice button', { hasText: 'Try again' }).click();
  await until(async () => /server for open language models/.test(await answers(page).innerText()), 'an answer');
  assert.equal(await page.locator('.notice').count(), 0);
  assert.equal(await page.locator('.user').count(), 1);
});

pageTest('refused: shows what the server says', async (page) => {
  for (const mode of ['chat', 'text']) {
    await pick(page, mode);
    await page.locator('[name=temperature]').fill('-1');
    await say(page, 'Hello');
    await page.locator('.notice').last().waitFor();
    assert.match(
      await page.locator('.notice').last().innerText(),
      /refused the request\. It says: Input validation error: `temperature` must be strictly positive\./,
    );
  }
  await page.locator('.notice button').last().click();
  assert.equal(await page.evaluate(() => document.activeElement.name), 'temperature');
  await picture(page, 'refused');
  await page.locator('[type=reset]').click();
  await pick(page, 'chat');
  await page.locator('#clear').click();
  await say(page, 'word '.repeat(1200));
  await page.locator('.notice').waitFor();
  assert.match(await notice(page), /`inputs` tokens \+ `max_new_tokens` must be <= 1024/);
  await until(
    () =>
      page.evaluate(
        () =>
          document.querySelector('.notice').getBoundingClientRect().bottom <=
          document.querySelector('#composer').getBoundingClientRect().top,
      ),
    'the sentence is in sight',
  );
});

pageTest('errors inside a stream, in both dialects', async (page) => {
  const cases = [
    [{ error: { message: 'Model is overloaded', http_status_code: 422 } }, /server is busy/],
    [
      { error: { message: 'Input validation error: too long', http_status_code: 422 } },
      /refused the request\. It says: Input validation error: too long\./,
    ],
    [
      { error: 'Request failed during generation: device lost', error_type: 'generation' },
      /server failed \(500\)\. It says: Request failed during generation: device lost\./,
    ],
    [{ error: 'Model is overloaded', error_type: 'overloaded' }, /server is busy/],
    ['no JSON', /connection|does not understand/],
  ];
  for (const [event, expected] of cases) {
    await page.route('**/v1/chat/completions', (r) => r.fulfill(sse(event, '[DONE]')), { times: 1 });
    await say(page, 'Hello');
    await page.locator('.notice').waitFor();
    assert.match(await notice(page), expected);
    await page.locator('#clear').click();
  }
});

pageTest('loading: waits by itself', async (page) => {
  let asked = 0;
  await page.route('**/v1/chat/completions', (r) => {
    asked++;
    return asked < 3
      ? r.fulfill({
          status: 503,
          contentType: 'application/json',
          body: '{"error":"The model is still loading","error_type":"loading"}',
        })
      : r.continue();
  });
  await say(page, 'What is prompteur?');
  await page.locator('.notice').waitFor();
  assert.match(await notice(page), /still loading\. Your message is sent as soon as it is ready/);
  await until(async () => /server for open language models/.test(await answers(page).innerText()), 'an answer');
  assert.equal(asked, 3);
  assert.equal(await page.locator('.notice').count(), 0);
});

pageTest('loading: says so while the page opens', async (page) => {
  let asked = 0;
  await page.route('**/health', (r) => (asked++ ? r.continue() : r.fulfill({ status: 503, body: '{}' })));
  await page.reload();
  await page.locator('#model[data-state=loading]').waitFor();
  await page.locator('#model[data-state=ready]').waitFor();
});

test('a lost connection is told, in the middle and before', { timeout: 120000 }, async () => {
  const mortal = await serve('--backend', 'ref');
  const page = await open(browser, mortal);
  await beginLongAnswer(page);
  await mortal.stop('SIGKILL');
  await page.locator('.notice').waitFor();
  assert.match(await notice(page), /connection to the server was lost before the answer was complete/);
  assert.ok((await answers(page).innerText()).length > 20, 'what came is kept');
  await page.locator('#model[data-state=away]').waitFor();
  await picture(page, 'lost');
  await page.locator('.notice button').click();
  await until(async () => /cannot be reached/.test(await notice(page)), 'it says that nobody is there');
  await page.context().close();
});

test('a stream that ends early is no answer', { timeout: 120000 }, async () => {
  const page = await open(browser, server);
  await page.route('**/v1/chat/completions', (r) =>
    r.fulfill(sse({ choices: [{ delta: { content: 'Half a' }, finish_reason: null }] })),
  );
  await say(page, 'Hello');
  await page.locator('.notice').waitFor();
  assert.match(await notice(page), /lost before the answer was complete/);
  await page.context().close();
});

test('a model without a chat template still writes', { timeout: 120000 }, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'prompteur-web-'));
  cpSync(join(ROOT, 'models/demo/export'), dir, { recursive: true });
  const path = join(dir, 'tokenizer_config.json');
  const { chat_template, ...config } = JSON.parse(readFileSync(path, 'utf8'));
  writeFileSync(path, JSON.stringify(config));
  const bare = await serve('--model-id', dir);
  const page = await open(browser, bare);
  const sent = bodies(page, '/generate_stream');
  await say(page, 'Once upon a time');
  await page.locator('.notice').waitFor();
  assert.match(await notice(page), /cannot hold a conversation\. It says: Template error: template not found\./);
  await page.locator('.notice button').click();
  await until(
    async () => sent.length === 1 && (await page.locator('.assistant').getAttribute('aria-busy')) === 'false',
    'a text',
  );
  assert.equal(sent[0].inputs, 'Once upon a time');
  assert.ok((await answers(page).innerText()).length > 10);
  await page.context().close();
  assert.equal(await bare.stop(), 0);
  rmSync(dir, { recursive: true });
});

/* ---- untrusted text ---- */

const HOSTILE = [
  '<img src=x onerror="window.pwned=1">',
  '<script>window.pwned=1</script>',
  '</p></div><iframe src="javascript:parent.pwned=1"></iframe>',
  '[link](javascript:window.pwned=1) ![picture](https://example.com/x.png)',
  '```html"><img src=x onerror=window.pwned=1>\n<b>code</b>\n```',
  '- <a href="https://example.com">item</a>\n\n> <style>*{display:none}</style>\n\n# <svg onload=window.pwned=1>',
  '**<b onclick=window.pwned=1>bold</b>** and `<i>code</i>`',
  '&lt;b&gt; &amp; &#60;',
];

pageTest('what is said is text, never markup', async (page) => {
  await page.route('**/info', async (r) =>
    r.fulfill({ json: { ...(await (await r.fetch()).json()), model_id: HOSTILE[0] } }),
  );
  await page.reload();
  await page.locator('#model[data-state=ready]').waitFor();
  const count = () => page.evaluate(() => document.querySelectorAll('img, script, iframe, a, style, svg').length);
  const before = await count();
  assert.equal(await page.locator('#model-name').innerText(), HOSTILE[0]);
  for (const text of HOSTILE) {
    await page.route('**/v1/chat/completions', (r) => r.fulfill(chatSays(text)), { times: 1 });
    await say(page, text);
    await answered(page);
    assert.equal(await page.locator('.user .text').innerText(), text);
    assert.equal(await count(), before, text);
    await page.locator('#clear').click();
  }
  await page.route('**/v1/chat/completions', (r) =>
    r.fulfill({ status: 422, contentType: 'application/json', body: JSON.stringify({ error: HOSTILE[0] }) }),
  );
  await say(page, 'Hello');
  await page.locator('.notice').waitFor();
  assert.ok((await notice(page)).includes(HOSTILE[0]));
  assert.equal(await count(), before);
  assert.equal(await page.evaluate(() => window.pwned), undefined);
});

const MARKDOWN = [
  ['one\ntwo\n\nthree', '<p>one\ntwo</p><p>three</p>'],
  ['# Title\ntext', '<h3>Title</h3><p>text</p>'],
  [
    'a **b *c* d** `e*f*` _g_ snake_case_name 2*3*4',
    '<p>a <strong>b <em>c</em> d</strong> <code>e*f*</code> <em>g</em> snake_case_name 2<em>3</em>4</p>',
  ],
  ['**open and `open', '<p>**open and `open</p>'],
  ['``a`b``', '<p><code>a`b</code></p>'],
  ['- a\n- b\n  - c\n- d', '<ul><li>a</li><li>b<ul><li>c</li></ul></li><li>d</li></ul>'],
  ['3. a\n4. b\n\n5. c', '<ol start="3"><li>a</li><li>b</li><li>c</li></ol>'],
  ['> a\n> b', '<blockquote><p>a\nb</p></blockquote>'],
  ['---', '<hr>'],
  [
    '```c\nint x;\n\n  y',
    '<figure><figcaption><span>c</span><button type="button" data-copy="">Copy</button></figcaption><pre tabindex="0"><code>int x;\n\n  y</code></pre></figure>',
  ],
  [
    'a\n```\nb\n```\nc',
    '<p>a</p><figure><figcaption><span>code</span><button type="button" data-copy="">Copy</button></figcaption><pre tabindex="0"><code>b</code></pre></figure><p>c</p>',
  ],
];

pageTest('copying works without a clipboard of its own', async (page) => {
  await say(page, 'What is prompteur?');
  await answered(page);
  await page.evaluate(() => Object.defineProperty(navigator, 'clipboard', { value: undefined }));
  await page.locator('.assistant [data-action=copy]').click();
  await page.locator('.assistant [data-action=copy]', { hasText: 'Copied' }).waitFor();
  await page.locator('#prompt').focus();
  await page.keyboard.press('Control+V');
  assert.equal(await page.locator('#prompt').inputValue(), await answers(page).innerText());
});

pageTest('Markdown', async (page) => {
  const html = (text) =>
    page.evaluate(async (t) => {
      const { render } = await import('/ui/markdown.js');
      const box = document.createElement('div');
      for (let i = 0; i <= t.length; i++) render(box, t.slice(0, i)); /* as it streams */
      const once = document.createElement('div');
      render(once, t);
      return [box.innerHTML, once.innerHTML];
    }, text);
  for (const [text, expected] of MARKDOWN) assert.deepEqual(await html(text), [expected, expected], text);
  /* Every text is shown whole, whatever it is, and soon: these would take hours in quadratic time. */
  const pieces = ['*', '`', '_', '**a', '- ', '> ', '# ', '1. ', '    - ', '~~~', '<b>', '&', '*a_ b` ', ' ', '#'];
  const kept = await page.evaluate(async (list) => {
    const { render } = await import('/ui/markdown.js');
    return list.map((piece) => {
      const box = document.createElement('div');
      render(box, 'x' + piece.repeat(100000) + 'y');
      return box.textContent.includes('y');
    });
  }, pieces);
  assert.ok(kept.every(Boolean));
  await page.route('**/v1/chat/completions', (r) =>
    r.fulfill(
      chatSays(
        'Here is a **short** program and how to run it:\n\n```c\n#include <stdio.h>\n\nint main(void)\n{\n    puts("hello");\n}\n```\n\n1. Save it as `hello.c`.\n2. Compile it:\n   - with `gcc hello.c`,\n   - or with `clang hello.c`.\n3. Run `./a.out`.\n\n> It says *hello*.',
      ),
    ),
  );
  await say(page, 'Write a program.');
  await answered(page);
  await accessible(page, 'answer with code');
  await picture(page, 'markdown');
  await page.locator('.assistant [data-copy]').click();
  assert.equal(
    await page.evaluate(() => navigator.clipboard.readText()),
    '#include <stdio.h>\n\nint main(void)\n{\n    puts("hello");\n}',
  );
});

/* ---- for everyone ---- */

for (const colorScheme of ['light', 'dark'])
  pageTest(`accessible in ${colorScheme}`, { colorScheme }, async (page) => {
    await page.locator('#ideas button').first().waitFor();
    await accessible(page, 'welcome');
    await page.locator('#ideas button').first().click();
    await answered(page);
    await accessible(page, 'conversation');
    await pick(page, 'code');
    await accessible(page, 'code');
    await picture(page, `code-${colorScheme}`);
  });

pageTest('accessible on a small screen', { viewport: { width: 375, height: 700 } }, async (page) => {
  await page.locator('#ideas button').first().click();
  await answered(page);
  await accessible(page, 'narrow');
  await picture(page, 'narrow');
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 375);
  await page.locator('#panel-button').click();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'panel-close');
  assert.ok(await page.evaluate(() => document.querySelector('main').inert));
  await accessible(page, 'narrow panel');
  await picture(page, 'narrow-panel');
  await page.keyboard.press('Escape');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'panel-button');
});

pageTest('the keyboard is enough', async (page) => {
  const focused = () =>
    page.evaluate(() => {
      const e = document.activeElement,
        style = getComputedStyle(e);
      const shown = [e, e.nextElementSibling, e.closest('.box')].filter(Boolean).some((x) => {
        const s = getComputedStyle(x);
        return (s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0) || /0px 0px 0px 3px/.test(s.boxShadow);
      });
      return { id: e.id || e.value || e.textContent.trim() || e.name, shown, visible: style.visibility === 'visible' };
    });
  await page.locator('.skip').focus();
  assert.equal((await focused()).id, 'Skip to the prompt');
  await page.keyboard.press('Enter');
  assert.equal((await focused()).id, 'prompt');
  await page.keyboard.type('What is prompteur?');
  await page.keyboard.press('Enter');
  await answered(page);
  const seen = [];
  for (let i = 0; i < 40; i++) {
    await page.keyboard.press('Shift+Tab');
    const at = await focused();
    assert.ok(at.shown, `focus shows on ${at.id}`);
    seen.push(at.id);
    if (at.id === 'Skip to the prompt') break;
  }
  assert.equal(seen.at(-1), 'Skip to the prompt', 'it comes first');
  for (const id of ['Regenerate', 'Edit', 'panel-button', 'theme', 'clear', 'chat'])
    assert.ok(seen.includes(id), `${id} can be reached: ${seen}`);
  await page.locator('input[value=chat]').focus();
  await page.keyboard.press('ArrowRight');
  assert.ok(await page.locator('input[value=text]').isChecked());
});

pageTest('colours follow the system until told otherwise', { colorScheme: 'dark' }, async (page) => {
  const back = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await back();
  await page.emulateMedia({ colorScheme: 'light' });
  const light = await back();
  assert.notEqual(dark, light);
  await page.locator('#theme').click();
  await page.locator('#theme').click();
  assert.equal(await back(), dark);
  assert.match(await page.locator('#theme').innerText(), /Colours: dark/i);
  await page.reload();
  assert.equal(await back(), dark);
});
