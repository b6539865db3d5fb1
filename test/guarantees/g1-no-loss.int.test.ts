import { expect, test } from 'vitest';
import { sleep } from '../../src/lifecycle/abort.ts';
import type { RelayProcess } from '../support/relay-process.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { openStage, type Stage } from './stage.ts';

const KILLS = 20;
/** As much is in flight at a time, so that its publishing can be cut off in the middle. */
const BULK = 2_000;

test('killed at 20 random moments, the relay loses, doubles, invents and reorders nothing', async () => {
  const seed = Number(process.env.POSTCOMMIT_TEST_SEED ?? 20_260_101);
  const random = seededRandom(seed);
  await using stage = await openStage();
  await using writers = stage.startWriters({ seed });
  let relay = await stage.startRelayProcess();
  let standby: RelayProcess | undefined;
  let cutOff = 0;
  try {
    for (let kill = 0; kill < KILLS; kill++) {
      await relay.line('role', ({ role }) => role === 'leader');
      if (random() < 0.4) standby = await stage.startRelayProcess();
      if (standby !== undefined && random() < 0.5) await standby.line('ready');
      // The moment of the kill, not a wait for anything: in the midst of many publishes, or whenever.
      if (random() < 0.7) await stage.untilPublishing({ events: BULK, share: random() });
      else await sleep(random() * 150);
      relay.kill('SIGKILL');
      if (random() < 0.5) expect(await relay.exit).toBe('SIGKILL');
      if ((await planEnd(stage)) > (await stage.lastSequence())) cutOff++;
      relay = standby ?? (await stage.startRelayProcess());
      standby = undefined;
    }
    await writers.stop();
    await stage.untilDrained();
    expect({ seed, faults: await stage.faults() }).toEqual({ seed, faults: [] });
    expect(writers.failures).toEqual([]);
    // Kills that hit nothing would prove nothing.
    expect(cutOff).toBeGreaterThan(0);
  } finally {
    await relay[Symbol.asyncDispose]();
    await standby?.[Symbol.asyncDispose]();
  }
});

async function planEnd(stage: Stage): Promise<number> {
  const { rows } = await stage.pool.query('select max(last_sequence)::int as "end" from postcommit.batches');
  return rows[0].end ?? 0;
}
