import { expect } from 'vitest';
import { type Env, type RunningCli, startCli } from './cli.ts';
import { query } from './query.ts';
import { scratchName } from './services.ts';

/** The relay's own process, as an operator sees it. */
export interface RelayUnderTest extends AsyncDisposable {
  readonly cli: RunningCli;
  readonly stream: string;
  get(path: string): Promise<{ readonly status: number; readonly body: string }>;
  /** Resolves when it publishes: it is ready, and an event that is written now gets stored. */
  publishes(): Promise<void>;
  /** Resolves when `/readyz` says that it is not ready, for this reason; `/livez` must have been green all the time. */
  waitsBecause(reason: RegExp): Promise<void>;
}

/** Resolves when it is ready, on a stream of its own if none is given. `adminUrl` leads to the same migrated database without what is under test. */
export async function startRelay(
  env: Env,
  adminUrl: string,
  args: readonly string[] = [],
): Promise<RelayUnderTest> {
  const stream = env.POSTCOMMIT_STREAM ?? scratchName('secure');
  const cli = startCli(['relay', ...args], {
    POSTCOMMIT_HTTP: '127.0.0.1:0',
    POSTCOMMIT_STREAM: stream,
    POSTCOMMIT_SUBJECTS: `${stream}.>`,
    ...env,
  });
  const { http } = await cli.line('ready');
  const get = async (path: string) => {
    const answer = await fetch(`${http}${path}`);
    return { status: answer.status, body: await answer.text() };
  };
  const stored = async () => {
    const { body } = await get('/metrics');
    return Number(/^postcommit_published_events_total\{.*\} (\d+)$/m.exec(body)?.[1] ?? 0);
  };
  return {
    cli,
    stream,
    get,
    async publishes() {
      await expect.poll(() => get('/readyz'), { timeout: 30_000 }).toMatchObject({ status: 200 });
      const before = await stored();
      await query(adminUrl, `SELECT postcommit.enqueue('${stream}.a', '{}')`);
      await expect.poll(stored, { timeout: 30_000 }).toBeGreaterThan(before);
    },
    async waitsBecause(reason) {
      const live: number[] = [];
      const probe = async () => {
        live.push((await get('/livez')).status);
        return get('/readyz');
      };
      const waiting = { status: 503, body: expect.stringMatching(reason) };
      await expect.poll(probe, { timeout: 30_000 }).toMatchObject(waiting);
      expect(new Set(live)).toEqual(new Set([200]));
    },
    [Symbol.asyncDispose]: () => cli[Symbol.asyncDispose](),
  };
}
