import { expect, test } from 'vitest';
import { startTcpProxy } from '../../src/testing/index.ts';
import { openStage, type Stage } from './stage.ts';

const leaseTtlMs = 2_000;
/** Above what was promised, on a machine that runs other tests too. */
const SLACK_MS = 3_000;

test.each([
  { doing: 'publishing', writers: 4 },
  { doing: 'parked', writers: 0 },
])('a leader cut off from PostgreSQL while $doing is replaced, and stands by when it can', async (leader) => {
  await using stage = await openStage();
  await using proxy = await startTcpProxy({ port: Number(new URL(stage.databaseUrl).port) });
  await using cutOff = await stage.startRelayProcess({ leaseTtlMs, databasePort: proxy.port });
  await cutOff.line('ready');
  await using standby = await stage.startRelayProcess({ leaseTtlMs });
  await standby.line('ready');
  await using writers = stage.startWriters({ count: leader.writers });
  if (leader.writers === 0) await untilParked(stage);
  else await stage.untilPublishing({ events: 2_000, share: 0.2 });
  const startedAtMs = performance.now();
  proxy.blackHole();
  await standby.line('role', ({ role }) => role === 'leader');
  expect(performance.now() - startedAtMs).toBeLessThan(leaseTtlMs + 1_000 + SLACK_MS);
  await cutOff.line('role', ({ role }) => role === 'standby');
  expect(performance.now() - startedAtMs).toBeLessThan(2 * leaseTtlMs + 1_000 + SLACK_MS);
  await writers.stop();
  await stage.write(1);
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
  cutOff.kill('SIGTERM');
  expect(await cutOff.exit).toBe(0);
});

async function untilParked({ pool }: Stage): Promise<void> {
  const flag = async () =>
    (await pool.query('select last_value::int from postcommit.parked_until')).rows[0].last_value;
  await expect.poll(flag, { timeout: 10_000 }).toBeGreaterThan(0);
}
