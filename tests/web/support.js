/* What the tests share: the real program, the system's Chromium, a page that counts what it asks for. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const PROGRAM = process.env.PROMPTEUR_PROGRAM ?? join(ROOT, 'build/release/bin/prompteur');
const PICTURES = process.env.PROMPTEUR_PICTURES ?? join(ROOT, 'build/release/web');
const AXE = readFileSync(join(ROOT, 'tests/web/node_modules/axe-core/axe.min.js'), 'utf8');
const DEADLINE_MS = 60000; /* what is awaited comes in milliseconds, but on a busy machine later */

const children = new Set();
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));

/* Starts the program on a free port; resolves once it listens. Stop it; what a failed test leaves ends with the tests. */
export async function serve(...flags) {
  const { HOSTNAME, PORT, ...env } = process.env;
  const child = spawn(PROGRAM, ['serve', '--hostname', '127.0.0.1', '--port', '0', '--prometheus-port', '0', ...flags], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  children.add(child);
  child.unref();
  child.stderr.unref?.();
  let log = '';
  const port = await new Promise((resolve, reject) => {
    child.stderr.on('data', (bytes) => {
      log += bytes;
      const found = /listening on http:\/\/[^:]+:(\d+)/.exec(log);
      if (found) resolve(found[1]);
    });
    child.on('exit', (code) => reject(new Error(`the server ended (${code}):\n${log}`)));
  });
  return {
    url: `http://127.0.0.1:${port}`,
    log: () => log,
    stop: (signal = 'SIGTERM') =>
      new Promise((resolve) => {
        if (child.exitCode !== null || child.signalCode) return resolve(child.exitCode);
        child.ref();
        child.on('exit', resolve);
        child.kill(signal);
      }),
  };
}

export function launch() {
  return chromium.launch({
    executablePath: process.env.PROMPTEUR_CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--disable-dev-shm-usage',
    ],
  });
}

/* A page of its own profile at `server`, by default /ui; it is there once `ready` is. page.asked: every address that it asked for; page.complaints: what the
 * browser complained about (violated policies, errors in scripts). */
export async function open(browser, server, { path = '/ui', ready = '#model[data-state]', ...options } = {}) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    permissions: ['clipboard-read', 'clipboard-write'],
    ...options,
  });
  context.setDefaultTimeout(DEADLINE_MS);
  const page = await context.newPage();
  page.asked = [];
  page.complaints = [];
  page.on('request', (request) => page.asked.push(request.url()));
  page.on('pageerror', (error) => page.complaints.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error' && !/Failed to load resource/.test(message.text()))
      page.complaints.push(message.text());
  });
  await page.goto(server.url + path);
  await page.locator(ready).first().waitFor();
  return page;
}

/* Waits for `test()` to be true. */
export async function until(test, what) {
  const end = Date.now() + DEADLINE_MS;
  while (!(await test())) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export async function accessible(page, state) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() =>
    globalThis.axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }),
  );
  assert.deepEqual(
    violations.map((v) => `${state}: ${v.id}: ${v.nodes.map((n) => n.html).join(' ')}`),
    [],
  );
}

export async function picture(page, name) {
  mkdirSync(PICTURES, { recursive: true });
  await page.screenshot({ path: join(PICTURES, `${name}.png`) });
}
