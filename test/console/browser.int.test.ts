import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { ensureChromium } from '../support/install-chromium.ts';
import { type ConsoleScene, openConsoleScene, TOKEN } from './scene.ts';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PATIENCE = { timeout: 15_000 };

let here: ConsoleScene;
let browser: Browser;
beforeAll(async () => {
  const { path, env } = await ensureChromium();
  [here, browser] = await Promise.all([
    openConsoleScene(),
    // Its sandbox needs what containers and root do not have; the only page it sees is ours.
    chromium.launch({ executablePath: path, env: { ...process.env, ...env }, args: ['--no-sandbox'] }),
  ]);
});
afterAll(async () => {
  await browser?.close();
  await here?.[Symbol.asyncDispose]();
});

interface Opened {
  readonly page: Page;
  /** What the browser complained about: errors, refused content, failed requests. */
  readonly complaints: string[];
  /** Bytes that came over the wire. */
  readonly loaded: () => number;
}

async function open(path: string, options: { width?: number; dark?: boolean } = {}): Promise<Opened> {
  const { width = 1280, dark = false } = options;
  const context = await browser.newContext({
    viewport: { width, height: 900 },
    colorScheme: dark ? 'dark' : 'light',
  });
  onTestFinished(() => context.close());
  const page = await context.newPage();
  const complaints: string[] = [];
  let bytes = 0;
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('requestfailed', (request) => complaints.push(`${request.url()} failed`));
  page.on('requestfinished', (request) => {
    const added = request.sizes().then((sizes) => {
      bytes += sizes.responseBodySize + sizes.responseHeadersSize;
    });
    added.catch(() => undefined); // The page was closed meanwhile.
  });
  await page.goto(here.url + path);
  return { page, complaints, loaded: () => bytes };
}

async function unlock(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Unlock' }).click();
  await page.getByLabel('Token').fill(TOKEN);
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Lock', exact: true }).waitFor(PATIENCE);
}

test('it says what the relay does, in less than 100 KB, and nothing is refused by its own policy', async () => {
  await here.write('first');
  const { page, complaints, loaded } = await open('/');
  const status = page.locator('#status');
  await expect.poll(() => status.textContent(), PATIENCE).toMatch(/^(Publishing|Idle)/);
  // What is read out says no numbers that change every two seconds.
  await expect
    .poll(() => page.getByRole('status').first().textContent(), PATIENCE)
    .toMatch(/^(Publishing|Idle)/);
  await page.getByRole('img', { name: /^Events per second: now/ }).waitFor(PATIENCE);
  await page.getByText('leads').waitFor(PATIENCE);
  await page.waitForLoadState('networkidle');
  expect(complaints).toEqual([]);
  expect(loaded()).toBeGreaterThan(10_000);
  expect(loaded()).toBeLessThan(100_000);
});

test('a dead letter is driven to success: found, opened, its payload seen, retried, gone', async () => {
  await here.write('ward.moved', { key: 'patient-7', payload: { name: 'Ada' } });
  const { page, complaints } = await open('/');
  await page.getByRole('link', { name: /^Dead letters 1$/ }).click(PATIENCE);
  await page.getByRole('button', { name: /^\d+$/ }).first().click(PATIENCE);
  await page.getByText('the ward is closed').first().waitFor(PATIENCE);
  expect(await page.getByText('Ada').count()).toBe(0);
  await page.getByRole('button', { name: 'Show the payload' }).click();
  await page.getByText('Unlock the console with its token to see payloads.').waitFor(PATIENCE);
  await unlock(page);
  await page.getByRole('button', { name: 'Hide the payload' }).click(PATIENCE);
  await page.getByRole('button', { name: 'Show the payload' }).click();
  await page.getByText('"name": "Ada"').waitFor(PATIENCE);
  here.ward.closed = false;
  await page.getByRole('checkbox', { name: /^Choose dead letter/ }).check();
  await page.getByRole('button', { name: 'Retry 1 chosen one' }).click();
  // Nothing happens before it is confirmed.
  await page.getByRole('button', { name: 'Cancel' }).click();
  expect(await here.pool.query('select from postcommit.requests')).toMatchObject({ rowCount: 0 });
  await page.getByRole('button', { name: 'Retry 1 chosen one' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Retry' }).click();
  await page.getByText('1 retrying.').waitFor(PATIENCE);
  await page.getByText('No dead letter matches').waitFor(PATIENCE);
  expect(here.ward.seen).toHaveLength(2);
  here.ward.closed = true;
  // The refusal of the payload is the one that was asked for.
  expect(complaints.filter((text) => !text.includes('401'))).toEqual([]);
});

test('where one is and what one looks for is in the address: it can be shared, reloaded and gone back from', async () => {
  const position = await here.write('shared', { key: 'patient-9' });
  const { page } = await open('/');
  await page.getByRole('link', { name: 'Events' }).click();
  await page.getByLabel('Subject').fill(`${here.stream}.shared`);
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: String(position), exact: true }).click(PATIENCE);
  await page.getByRole('heading', { name: `Event at position ${position}` }).waitFor(PATIENCE);
  const other = await open(page.url().slice(here.url.length));
  await other.page.getByRole('heading', { name: `Event at position ${position}` }).waitFor(PATIENCE);
  await other.page.getByText(/^Stored in/).waitFor(PATIENCE);
  expect(await other.page.getByLabel('Subject').inputValue()).toBe(`${here.stream}.shared`);
  await page.goBack();
  await page.getByRole('heading', { name: /^Event at/ }).waitFor({ ...PATIENCE, state: 'hidden' });
});

test('paused, it stands still until it goes on', async () => {
  const { page } = await open('/');
  await page.clock.install();
  await page.goto(`${here.url}/?view=events`);
  await page.getByRole('table').waitFor(PATIENCE);
  let looks = 0;
  page.on('request', (request) => {
    if (request.url().includes('/api/')) looks++;
  });
  await page.clock.runFor(10_000);
  await expect.poll(() => looks, PATIENCE).toBeGreaterThan(0);
  await page.keyboard.press('p');
  await page.locator('#status', { hasText: 'Paused: this is how it was' }).waitFor(PATIENCE);
  await page.waitForLoadState('networkidle');
  const position = await here.write('while.paused');
  looks = 0;
  await page.clock.runFor(60_000);
  expect(looks).toBe(0);
  const shown = page.getByRole('button', { name: String(position), exact: true });
  expect(await shown.count()).toBe(0);
  await page.getByRole('button', { name: 'Go on' }).click();
  await shown.waitFor(PATIENCE);
});

test('locked again, nothing that was seen stays', async () => {
  const position = await here.write('ward.locked', { key: 'patient-5', payload: { name: 'Grace' } });
  const { page } = await open('/?view=letters');
  await page.getByRole('button', { name: /^\d+$/ }).first().click(PATIENCE);
  await unlock(page);
  await page.getByRole('button', { name: 'Show the payload' }).click(PATIENCE);
  await page.getByText('"name"').waitFor(PATIENCE);
  await page.getByRole('button', { name: 'Lock', exact: true }).click();
  await page.getByText('"name"').waitFor({ ...PATIENCE, state: 'detached' });
  expect(position).toBeGreaterThan(0);
  const { rows } = await here.pool.query("select id from postcommit.dead_letters where state = 'parked'");
  for (const { id } of rows)
    await here.post(
      '/api/dead-letters',
      { action: 'discard', ids: [Number(id)] },
      { authorization: `Bearer ${TOKEN}` },
    );
});

test.each(['wrong-token-of-16', 'tökén–with–other–letters'])(
  '%s is no token, and does no harm',
  async (wrong) => {
    const { page } = await open('/');
    await page.getByRole('button', { name: 'Unlock' }).click(PATIENCE);
    await page.getByLabel('Token').fill(wrong);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Not unlocked' }).waitFor(PATIENCE);
    await page.getByRole('button', { name: 'OK' }).click();
    await page.reload();
    await page.getByRole('button', { name: 'Unlock' }).waitFor(PATIENCE);
  },
);

test('a relay that does not answer any more is said to be so', async () => {
  const { page } = await open('/');
  await page.getByText('leads').waitFor(PATIENCE);
  await page.route('**/api/live*', (route) => route.abort());
  await page.locator('#status', { hasText: 'the relay does not answer' }).waitFor(PATIENCE);
});

const VIEWS = ['overview', 'events', 'letters', 'streams'];

test.each(VIEWS)(
  '%s: nothing that a screen reader or a keyboard could not use, dark and light',
  async (view) => {
    for (const dark of [false, true]) {
      const { page } = await open(`/?view=${view}`, { dark });
      await page.locator('#status').waitFor(PATIENCE);
      await page.waitForLoadState('networkidle');
      const found = await page.evaluate(`${AXE}; axe.run(document, { resultTypes: ['violations'] })`);
      const { violations } = found as { violations: { id: string; nodes: { html: string }[] }[] };
      expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([]);
    }
  },
);

test.each(VIEWS)('%s: on a phone nothing is wider than the screen', async (view) => {
  const { page } = await open(`/?view=${view}`, { width: 360 });
  await page.locator('#status').waitFor(PATIENCE);
  await page.waitForLoadState('networkidle');
  const wider = await page.evaluate(
    `[...document.querySelectorAll('body *')].filter((one) => one.closest('nav, .scroll') === null && one.getBoundingClientRect().right > innerWidth + 1)
       .map((one) => one.outerHTML.slice(0, 80))`,
  );
  expect(wider).toEqual([]);
});

test('the theme is kept', async () => {
  const { page } = await open('/');
  await page.getByRole('button', { name: 'Theme: system' }).click();
  await page.getByRole('button', { name: 'Theme: dark' }).waitFor();
  await page.reload();
  await page.getByRole('button', { name: 'Theme: dark' }).waitFor();
  expect(await page.evaluate('document.documentElement.dataset.theme')).toBe('dark');
});
