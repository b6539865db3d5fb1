import { expect, test } from 'vitest';
import { FAITHFUL, insertEvents, openOutbox, untilParked } from '../support/outbox-harness.ts';

const CYCLES = 60;
/** The sweep comes every 5 seconds: what is stored well before was not found by it. */
const BEFORE_SWEEP_MS = 3_000;
const SWEEP_AND_MORE_MS = 10_000;

test(`a parked relay is woken by each of ${CYCLES} commits, and by the sweep where a writer kept silent`, async () => {
  await using outbox = await openOutbox();
  const running = await outbox.startRelay();
  const writer = await outbox.connect();
  const observer = await outbox.connect();
  for (let cycle = 1; cycle <= CYCLES; cycle++) {
    await untilParked(observer);
    await insertEvents(writer, outbox.subject, 1, `cycle ${cycle}`);
    await outbox.untilStored(cycle, { withinMs: BEFORE_SWEEP_MS });
  }
  expect(await running.count('sweepFoundEvents')).toBe(0);

  await writer.query('set postcommit.notify = off');
  await untilParked(observer);
  // The flag is up before it sleeps; awake it looks at least every 25 ms.
  await expect
    .poll(() => performance.now() - running.relay.status().lastProgressAtMs, { timeout: BEFORE_SWEEP_MS })
    .toBeGreaterThan(250);
  await insertEvents(writer, outbox.subject, 2, 'silent');
  await outbox.untilStored(CYCLES + 2, { withinMs: SWEEP_AND_MORE_MS });
  await expect.poll(() => running.count('sweepFoundEvents')).toBe(2);
  expect(await outbox.compare()).toEqual({ committed: CYCLES + 2, ...FAITHFUL });
});
