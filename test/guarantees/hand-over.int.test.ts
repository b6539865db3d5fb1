import { expect, test } from 'vitest';
import { sleep } from '../../src/lifecycle/abort.ts';
import { startTcpProxy } from '../../src/testing/index.ts';
import { startNats } from '../support/services.ts';
import { openStage } from './stage.ts';

const leaseTtlMs = 1_000;

test('a leader that alone cannot reach NATS hands over to a standby that can, and stands by', async () => {
  await using stage = await openStage();
  await using proxy = await startTcpProxy({ port: Number(new URL(stage.natsUrl).port) });
  await using cutOff = await stage.startRelayProcess({ leaseTtlMs, natsPort: proxy.port });
  await cutOff.line('ready');
  await using standby = await stage.startRelayProcess({ leaseTtlMs });
  await standby.line('ready');
  await using writers = stage.startWriters({ count: 2 });
  await stage.untilPublishing({ events: 1_000, share: 0.2 });
  proxy.refuse();
  proxy.cut();
  await standby.line('role', ({ role }) => role === 'leader');
  expect(await cutOff.line('deposed')).toMatchObject({ reason: 'it cannot reach NATS, and a standby can' });
  await cutOff.line('role', ({ role }) => role === 'standby');
  await writers.stop();
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
  // Cut off it leaves the lead to others; back again, it is one of them.
  expect(await cutOff.readiness()).toMatchObject({ ready: false, role: 'standby' });
  await proxy.accept();
  await cutOff.line('nats-reconnected');
  standby.kill('SIGKILL');
  await stage.write(10);
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
});

test('when NATS is down for all, nobody hands over', async () => {
  await using nats = await startNats();
  await using stage = await openStage({ natsUrl: nats.url });
  await using leader = await stage.startRelayProcess({ leaseTtlMs });
  await leader.line('ready');
  await using standby = await stage.startRelayProcess({ leaseTtlMs });
  await standby.line('ready');
  nats.kill('SIGKILL');
  await stage.write(10);
  await sleep(5 * leaseTtlMs); // As long as the outage lasts.
  const { rows } = await stage.pool.query('select epoch::int from postcommit.lease');
  expect(rows).toEqual([{ epoch: 1 }]);
  await nats.start();
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
  expect((await leader.readiness())?.role).toBe('leader');
});
