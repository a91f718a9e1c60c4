/* The page at /docs in a real Chromium: what the document says is there to read, and its requests can be sent. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { accessible, launch, open, picture, serve, until } from './support.js';

const KEY = "it's a key";
let browser, server, document;

before(async () => {
  [browser, server] = await Promise.all([launch(), serve('--api-key', KEY)]);
  document = await (await fetch(`${server.url}/api-doc/openapi.json`)).json();
});

after(async () => {
  await browser?.close();
  assert.equal(await server?.stop(), 0);
});

/* A test with a page of its own, which may ask nobody but its server and must not make the browser complain. */
function pageTest(name, body, options) {
  test(name, { timeout: 120000 }, async () => {
    const page = await open(browser, server, { path: '/docs', ready: 'main details', ...options });
    await body(page);
    assert.deepEqual(page.asked.filter((url) => !url.startsWith(`${server.url}/`) && !url.startsWith('data:')), []);
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  });
}

async function openOperation(page, id) {
  await page.locator(`#${id} > summary`).click();
  await page.locator(`#${id} > .inside`).waitFor();
  return page.locator(`#${id}`);
}

pageTest('every operation and every schema is there', async (page) => {
  for (const [path, ops] of Object.entries(document.paths))
    for (const op of Object.values(ops)) {
      const shown = await openOperation(page, op.operationId);
      assert.ok((await shown.locator('> summary code').first().innerText()) === path);
      const rows = await shown.locator('table').last().locator('tbody tr').count();
      assert.equal(rows, Object.keys(op.responses).length);
    }
  for (const [name, schema] of Object.entries(document.components.schemas)) {
    const rows = await page.locator(`#schema-${name} tbody tr`).count();
    assert.equal(rows, Object.keys(schema.properties ?? {}).length, name);
  }
});

pageTest('a request is sent, with the key and not without, and shown for curl', async (page) => {
  const generate = await openOperation(page, 'generate');
  await generate.getByRole('button', { name: 'Send' }).click();
  await generate.getByText('Status 401').waitFor();
  await page.locator('#key').fill(KEY);
  await generate.locator('textarea').fill('{"inputs": "it\'s", "parameters": {"max_new_tokens": 3}}');
  const command = await generate.locator('pre').first().innerText();
  assert.ok(command.includes(`'${server.url}/generate'`) && command.includes(`"it'\\''s"`), command);
  assert.ok(command.includes('Bearer $API_KEY') && !command.includes(KEY), command);
  await generate.getByRole('button', { name: 'Send' }).click();
  await generate.getByText('Status 200').waitFor();
  assert.ok('generated_text' in JSON.parse(await generate.locator('pre').last().innerText()));
});

pageTest('the example of each request is one that the server answers', async (page) => {
  await page.locator('#key').fill(KEY);
  for (const ops of Object.values(document.paths))
    for (const op of Object.values(ops)) {
      const shown = await openOperation(page, op.operationId);
      await shown.getByRole('button', { name: 'Send' }).click();
      await shown.getByText('Status 200').waitFor();
      await until(async () => await shown.getByRole('button', { name: 'Stop' }).isDisabled(), 'the answer ends');
    }
});

pageTest('links and search lead to what they name', async (page) => {
  const chat = await openOperation(page, 'chat_completions');
  await chat.locator('h3 a').first().click();
  assert.ok(await page.locator('#schema-ChatRequest').evaluate((e) => e.open));
  await page.locator('#find').fill('tokenize');
  assert.deepEqual(
    await page.locator('#operations details:visible').evaluateAll((all) => all.map((e) => e.id)),
    ['tokenize', 'get_chat_tokenize'],
  );
});

for (const colorScheme of ['light', 'dark'])
  pageTest(
    `accessible and kept as a picture, ${colorScheme}`,
    async (page) => {
      const view = await openOperation(page, 'generate');
      await view.locator('textarea').scrollIntoViewIfNeeded();
      await accessible(page, colorScheme);
      await page.evaluate(() => scrollTo(0, 0));
      await picture(page, `docs-${colorScheme}`);
    },
    { colorScheme },
  );

pageTest('a narrow screen', async (page) => {
  await openOperation(page, 'chat_completions');
  assert.ok(await page.evaluate(() => globalThis.document.documentElement.scrollWidth <= innerWidth));
  await picture(page, 'docs-narrow');
}, { viewport: { width: 390, height: 800 } });
