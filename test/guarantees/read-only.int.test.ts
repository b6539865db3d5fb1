import { afterAll, beforeAll, expect, test } from 'vitest';
import { readiness } from '../../src/daemon/health.ts';
import type { EmbeddedPostgres } from '../../src/embedded/index.ts';
import { sleep } from '../../src/lifecycle/abort.ts';
import { query } from '../support/query.ts';
import { startPostgres } from '../support/services.ts';
import { openStage, type Stage } from './stage.ts';

let postgres: EmbeddedPostgres;

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres[Symbol.asyncDispose]());

test.each([
  {
    by: 'ALTER SYSTEM',
    switched: (_: Stage, value: 'on' | 'off') =>
      onServer(`alter system set default_transaction_read_only = ${value}`, 'select pg_reload_conf()'),
  },
  {
    by: 'ALTER DATABASE, the sessions ended',
    switched: (stage: Stage, value: 'on' | 'off') =>
      onServer(
        `alter database ${nameOf(stage)} set default_transaction_read_only = ${value}`,
        `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${nameOf(stage)}'`,
      ),
  },
])('switched to read-only by $by the relay waits, says why, and goes on by itself', async ({ switched }) => {
  await using stage = await openStage({ postgresUrl: postgres.url });
  await using relay = await stage.startRelay();
  await using _whateverHappens = { [Symbol.asyncDispose]: () => switched(stage, 'off') };
  await relay.until('publishing');
  await stage.write(10);
  await stage.untilDrained();
  await switched(stage, 'on');
  const since = performance.now();
  await expect.poll(() => relay.relay.status().reason, { timeout: 10_000 }).toMatch(/read-only/);
  expect(relay.relay.status()).toMatchObject({
    role: 'starting',
    reason: expect.stringMatching(/25006.*default_transaction_read_only/),
  });
  expect(readiness(relay.relay.status())).toMatchObject({ ok: false });
  expect(readiness(relay.relay.status()).reasons.join()).toContain('25006');
  await sleep(3_000); // The length of the pause.
  const failures = relay.lines.filter(({ event }) => event === 'term-failed');
  expect(failures.length).toBeLessThanOrEqual(1 + Math.ceil((performance.now() - since) / 1_000));
  expect(failures.at(-1)).toMatchObject({ state: '25006' });
  await switched(stage, 'off');
  await relay.until('publishing', 15_000);
  await expect.poll(() => relay.relay.status().reason).toBeNull();
  await stage.write(10);
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
});

async function onServer(...statements: string[]): Promise<void> {
  for (const statement of statements) await query(postgres.url, statement);
}

function nameOf({ databaseUrl }: Stage): string {
  return new URL(databaseUrl).pathname.slice(1);
}
