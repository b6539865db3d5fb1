import { expect, test } from 'vitest';
import { sleep } from '../../src/lifecycle/abort.ts';
import { startTcpProxy } from '../../src/testing/index.ts';
import { createWire } from '../chaos/directed/wire.ts';
import { type PublishWatch, watchPublishes } from '../support/publish-watch.ts';
import type { RelayProcess } from '../support/relay-process.ts';
import { openStage, type Stage } from './stage.ts';

const leaseTtlMs = 1_000;

test.each([
  { how: 'frozen for one lease', freeze: stopFor(1), deposed: false },
  { how: 'frozen for three leases', freeze: stopFor(3), deposed: true },
  { how: 'frozen for ten leases', freeze: stopFor(10), deposed: true },
  { how: 'with its event loop blocked for 30 s', freeze: blockEventLoop, deposed: true },
])('a leader $how in the midst of publishing changes nothing when it comes back', async (fault) => {
  await using stage = await openStage();
  const watch = await watchPublishes(stage.connection, stage.stream);
  const wire = createWire();
  await using proxy = await startTcpProxy({ port: Number(new URL(stage.natsUrl).port), tap: wire.tap });
  await using zombie = await stage.startRelayProcess({ leaseTtlMs, natsPort: proxy.port });
  await zombie.line('ready');
  await stage.write(1);
  await stage.untilDrained();
  const publishers = await watch.publishers();
  await using standby = await stage.startRelayProcess({ leaseTtlMs });
  await standby.line('ready');
  await using writers = stage.startWriters({ count: 2 });
  // Answers are under way so long that much is in flight at any moment, and more waits behind it.
  proxy.delay(50, { direction: 'down' });
  await stage.untilPublishing({ events: 5_000, share: 0.1 });
  const late = wire.hold('HPUB '); // Under way until it has thawed: what it wakes up with may be nothing.
  await late.reached;
  const thaw = await fault.freeze(zombie);
  if (fault.deposed) {
    await standby.line('role', ({ role }) => role === 'leader');
    // Until its successor has used them all, what is late may still fill its own slots, and rightly so.
    const planned = (await stage.log())
      .filter(({ epoch }) => epoch === 1)
      .map(({ lastSequence }) => lastSequence);
    await expect.poll(stage.lastSequence, { timeout: 10_000 }).toBeGreaterThanOrEqual(Math.max(...planned));
  }
  const before = await stateOf(stage, watch);
  await thaw();
  late.release();
  if (fault.deposed) {
    await zombie.line('role', ({ role }) => role === 'standby');
    expect(await stateOf(stage, watch)).toMatchObject({ lease: before.lease, planned: before.planned });
    const traffic = () => watch.since(before.mark, publishers);
    await expect.poll(async () => (await traffic()).refused, { timeout: 10_000 }).toBeGreaterThan(0);
    expect((await traffic()).stored).toBe(0);
  }
  await writers.stop();
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
  expect(writers.failures).toEqual([]);
  const roles = await Promise.all([zombie, standby].map(async (relay) => (await relay.readiness())?.role));
  expect(roles.sort()).toEqual(['leader', 'standby']);
});

/** Resolves, still frozen, when about so many leases are over. */
function stopFor(leases: number) {
  return async (relay: RelayProcess) => {
    relay.kill('SIGSTOP');
    await sleep(leases * leaseTtlMs);
    return async () => relay.kill('SIGCONT');
  };
}

async function blockEventLoop(relay: RelayProcess) {
  relay.kill('SIGUSR2');
  return async () => undefined; // It ends by itself.
}

/** What a former leader must not change: the lease, the plans of its epoch, where inserts go. */
async function stateOf({ pool }: Stage, watch: PublishWatch) {
  const lease = await pool.query(
    'select epoch, holder, segment.last_value as segment from postcommit.lease, postcommit.segment',
  );
  const planned = await pool.query('select count(*) from postcommit.batches where epoch = 1');
  return { lease: lease.rows, planned: planned.rows, mark: await watch.mark() };
}
