import { expect, test } from 'vitest';
import type { RelayProcess } from '../support/relay-process.ts';
import { openStage, type Stage } from './stage.ts';

/** Above what was promised, on a machine that runs other tests too. */
const SLACK_MS = 1_500;

test('a standby publishes within about a second of the death of the leader', async () => {
  await using stage = await openStage();
  await using leader = await stage.startRelayProcess();
  await leader.line('ready');
  await using standby = await stage.startRelayProcess();
  expect(await standby.line('ready')).toMatchObject({ role: 'standby' });
  expect(await standby.readiness()).toMatchObject({ ready: true, role: 'standby' });
  await using writers = stage.startWriters();
  await untilEpoch(stage, 1);
  leader.kill('SIGKILL');
  const tookMs = await untilPublishedBy(stage, standby);
  expect(tookMs).toBeLessThan(1_000 + SLACK_MS);
  await writers.stop();
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
});

test('a frozen leader is replaced when its lease ends, and changes nothing when it thaws', async () => {
  const leaseTtlMs = 2_000;
  await using stage = await openStage();
  await using frozen = await stage.startRelayProcess({ leaseTtlMs });
  await frozen.line('ready');
  await using standby = await stage.startRelayProcess({ leaseTtlMs });
  await standby.line('ready');
  await using writers = stage.startWriters();
  await untilEpoch(stage, 1);
  await stage.untilPublishing({ events: 2_000, share: 0.1 });
  frozen.kill('SIGSTOP');
  const tookMs = await untilPublishedBy(stage, standby);
  expect(tookMs).toBeGreaterThan(leaseTtlMs / 2);
  expect(tookMs).toBeLessThan(leaseTtlMs + 1_000 + SLACK_MS);
  frozen.kill('SIGCONT');
  await frozen.line('role', ({ role }) => role === 'standby');
  const thawedAt = await stage.lastSequence();
  await expect.poll(() => stage.lastSequence(), { timeout: 10_000 }).toBeGreaterThan(thawedAt + 500);
  await writers.stop();
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
  expect((await stage.log()).at(-1)?.epoch).toBe(2);
  expect(await frozen.readiness()).toMatchObject({ ready: true, role: 'standby' });
  expect(writers.failures).toEqual([]);
});

async function untilEpoch(stage: Stage, epoch: number): Promise<void> {
  await expect
    .poll(async () => (await stage.log()).at(-1)?.epoch, { timeout: 10_000, interval: 20 })
    .toBe(epoch);
}

/** How long it took until an event that this relay planned was in the stream. */
async function untilPublishedBy(stage: Stage, relay: RelayProcess): Promise<number> {
  const startedAtMs = performance.now();
  const { epoch } = await relay.line('role', ({ role }) => role === 'leader');
  const firstOf = async () => {
    const { rows } = await stage.pool.query(
      'select min(first_sequence)::int as first from postcommit.batches where epoch = $1',
      [epoch],
    );
    return rows[0].first ?? Number.POSITIVE_INFINITY;
  };
  await expect
    .poll(async () => (await stage.lastSequence()) >= (await firstOf()), { timeout: 15_000, interval: 10 })
    .toBe(true);
  return performance.now() - startedAtMs;
}
