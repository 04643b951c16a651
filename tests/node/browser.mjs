// Walks through a connect page in a real Chromium, as a person would, and reports what happened.
//
//   node browser.mjs '{"url":"http://127.0.0.1:8080/connect/...","screenshot_dir":"/tmp/shots"}'
//
// Fields: url, screenshot_dir, executable (default /usr/bin/chromium), and instead of url
// opener: an application's page whose #connect button opens the connect page in a popup, or
// framing: a page that shows others in frames; the report is then {"frames":[url, ...]}, screenshot framed.png.
//
// The consent page has [data-testid=approve]; the result page has [data-testid=result] with
// data-status. Screenshots: consent.png, result-light.png, result-dark.png (failure.png on failure).
//
// Prints one line of JSON: final_url, title, result, status, foreign_requests, console_errors and, with
// an opener, opener_message: the text of its #message, and close_requested: whether the popup wanted to
// close itself, which it may not do while it is looked at. On failure {"error",...} and exit code 1.

import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { chromium } from 'playwright-core';

const STEP = 10_000; // milliseconds one step may take
const MESSAGE = 5_000; // milliseconds the opener may take to show what it was told
const FLAGS = [
  '--no-sandbox', // Chromium's sandbox does not run as root, and the pages are our own
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const seen = { foreign_requests: [], console_errors: [] };

try {
  const options = JSON.parse(process.argv[2] ?? '');
  console.log(JSON.stringify({ ...(await inBrowser(options, options.framing ? lookAtFrames : walk)), ...seen }));
} catch (error) {
  console.log(JSON.stringify({ error: stripVTControlCharacters(error.message), ...seen }));
  process.exitCode = 1;
}

async function inBrowser(options, walk) {
  await mkdir(options.screenshot_dir, { recursive: true });
  const profile = await mkdtemp(join(tmpdir(), 'tokenwell-browser-'));
  let context;
  try {
    context = await chromium.launchPersistentContext(profile, {
      executablePath: options.executable ?? '/usr/bin/chromium',
      args: FLAGS,
      viewport: { width: 960, height: 720 },
    });
    context.setDefaultTimeout(STEP);
    await context.addInitScript(() => {
      window.close = () => document.documentElement.setAttribute('data-close-requested', '');
    });
    watch(context);
    return await walk(context, options);
  } catch (error) {
    await context?.pages().at(-1)?.screenshot(shot(options, 'failure')).catch(() => {});
    throw error;
  } finally {
    await context?.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function walk(context, options) {
  const first = context.pages()[0] ?? (await context.newPage());
  const page = await connectPage(first, options);

  const approve = page.locator('form [data-testid=approve]');
  await approve.waitFor();
  await page.screenshot(shot(options, 'consent'));
  await approve.click();

  const result = page.locator('[data-testid=result]');
  await result.waitFor();
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot(shot(options, `result-${colorScheme}`));
  }

  const report = {
    final_url: page.url(),
    title: await page.title(),
    result: (await result.innerText()).trim(),
    status: await result.getAttribute('data-status'),
  };
  if (options.opener) {
    report.opener_message = await messageOf(first);
    report.close_requested = await closeRequested(page);
  }
  return report;
}

// A frame whose page does not want to be in one has an address of the browser's own.
async function lookAtFrames(context, options) {
  const page = context.pages()[0] ?? (await context.newPage());
  await page.goto(options.framing, { waitUntil: 'load' });
  await page.screenshot(shot(options, 'framed'));
  return { frames: page.frames().slice(1).map((frame) => frame.url()) };
}

async function connectPage(page, { url, opener }) {
  await page.goto(opener ?? url);
  if (!opener) return page;
  const popup = page.waitForEvent('popup');
  await page.locator('#connect').click();
  return popup;
}

// Empty when nothing came in time: what to make of that is for the test to say.
async function messageOf(page) {
  const message = page.locator('#message');
  const told = message.filter({ hasText: /\S/ }).waitFor({ state: 'attached', timeout: MESSAGE });
  await told.catch(() => {});
  return ((await message.textContent()) ?? '').trim();
}

// Asked after the message, so a page that closes itself has had its time.
async function closeRequested(page) {
  const wish = page.locator('html[data-close-requested]').waitFor({ state: 'attached', timeout: MESSAGE });
  return wish.then(() => true, () => false);
}

function watch(context) {
  context.on('request', (request) => {
    const { protocol, hostname } = new URL(request.url());
    const local = ['127.0.0.1', 'localhost'].includes(hostname);
    const inline = ['data:', 'blob:', 'about:'].includes(protocol);
    if (!local && !inline) seen.foreign_requests.push(request.url());
  });
  context.on('console', (message) => {
    if (message.type() === 'error') seen.console_errors.push(message.text());
  });
  context.on('weberror', (error) => seen.console_errors.push(String(error.error())));
}

function shot({ screenshot_dir: dir }, name) {
  return { path: join(dir, `${name}.png`) };
}
