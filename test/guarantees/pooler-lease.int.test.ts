import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EmbeddedPostgres } from '../../src/embedded/index.ts';
import { renewIfLeading } from '../../src/lease/lease.ts';
import { sleep } from '../../src/lifecycle/abort.ts';
import { openSession } from '../../src/postgres/session.ts';
import { showsPooler } from '../../src/relay/setback.ts';
import { type PgBouncer, startPgBouncer } from '../support/pgbouncer.ts';
import { startPostgres } from '../support/services.ts';
import { startWriters } from '../support/writers.ts';
import { openStage, type Stage } from './stage.ts';

const leaseTtlMs = 2_000;

let postgres: EmbeddedPostgres;
let pooler: PgBouncer;

beforeAll(async () => {
  postgres = await startPostgres();
  pooler = await startPgBouncer({ port: postgres.port });
});
afterAll(async () => {
  await pooler[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});

test('a direct relay and a pooled one respect each other and replace each other', async () => {
  await using stage = await openStage({ postgresUrl: postgres.url });
  const direct = { leaseTtlMs };
  const pooled = { leaseTtlMs, databasePort: pooler.port };
  await using writers = startWriters({
    url: pooler.urlOf(stage.databaseUrl),
    subject: stage.subject,
    count: 2,
  });
  await using first = await stage.startRelayProcess(direct);
  await first.line('role', ({ role }) => role === 'leader');
  await using second = await stage.startRelayProcess(pooled);
  expect(await second.line('ready')).toMatchObject({ role: 'standby' });
  await untilStandsFor(stage, 1.3 * leaseTtlMs, 1);
  first.kill('SIGKILL');
  await second.line('role', ({ role }) => role === 'leader');
  await using third = await stage.startRelayProcess(direct);
  expect(await third.line('ready')).toMatchObject({ role: 'standby' });
  await untilStandsFor(stage, 1.3 * leaseTtlMs, 2);
  second.kill('SIGSTOP');
  await third.line('role', ({ role }) => role === 'leader');
  second.kill('SIGCONT');
  await second.line('role', ({ role }) => role === 'standby');
  await untilStandsFor(stage, 1.3 * leaseTtlMs, 3);
  await writers.stop();
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
  expect(writers.failures).toEqual([]);
  expect(third.lines.some(({ event }) => event === 'predecessor-terminated')).toBe(false);
});

/** The time is what is tested: so long nobody takes the lead from its holder. */
async function untilStandsFor(stage: Stage, ms: number, epoch: number): Promise<void> {
  await sleep(ms);
  const { rows } = await stage.pool.query('select epoch::int from postcommit.lease');
  expect(rows).toEqual([{ epoch }]);
}

test('the ring turns behind a pooler, too', async () => {
  await using stage = await openStage({ postgresUrl: postgres.url });
  await using relay = await stage.startRelay({
    databaseUrl: () => pooler.urlOf(stage.databaseUrl),
    retentionMs: 3_000,
  });
  await relay.until('publishing');
  await stage.write(100);
  await expect
    .poll(() => relay.lines.map(({ event }) => event), { timeout: 30_000, interval: 100 })
    .toContain('segment-emptied');
  const { rows } = await stage.pool.query('select count(*)::int from postcommit.outbox');
  expect(rows[0].count).toBe(0);
  expect(relay.lines.map(({ event }) => event)).not.toContain('term-failed');
});

test('a pooler that greets like a backend is found out when the lease is renewed', async () => {
  await using stage = await openStage({ postgresUrl: postgres.url });
  const real = await openSession({ url: stage.databaseUrl, name: 'test' });
  const passedOn = { ...real, backendPid: (real.backendPid ?? 0) + 1 };
  const renewal = renewIfLeading(passedOn, 0, leaseTtlMs);
  await expect(renewal).rejects.toSatisfy(showsPooler);
  expect(await renewIfLeading(real, 0, leaseTtlMs)).toBe(true);
  await real.close();
});
