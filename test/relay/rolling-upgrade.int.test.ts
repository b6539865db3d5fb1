import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { migrate } from '../../src/migrate/index.ts';
import { openStage } from '../guarantees/stage.ts';
import { runCli } from '../support/cli.ts';
import { type EarlierVersion, unpackEarlier } from '../support/earlier-version.ts';
import { MIGRATIONS } from '../support/migrations.ts';
import type { RelayProcess } from '../support/relay-process.ts';

/** States of this repository that had another schema: the last ones before a migration was added. */
const EARLIER = [
  { state: 'before lanes and dead letters', commit: '22e4cd4' },
  { state: 'before consumers had leases', commit: 'c1d5bb8' },
];

describe.each(EARLIER)('from the state $state ($commit)', ({ commit }) => {
  let earlier: EarlierVersion;

  beforeAll(async () => {
    earlier = await unpackEarlier(commit);
  });
  afterAll(() => earlier?.[Symbol.asyncDispose]());

  const openOldStage = () => openStage({ postgresUrl: inject('databaseUrl'), migrate: earlier.migrate });

  test('the schema goes up beside relays and writers of before, who notice nothing', async () => {
    await using stage = await openOldStage();
    await using old = await stage.startRelayProcess({ main: earlier.main });
    await old.line('ready');
    await using writers = stage.startWriters();
    await expect.poll(() => writers.commits, { timeout: 10_000 }).toBeGreaterThan(50);
    const { applied } = await migrate({ url: stage.databaseUrl });
    expect(applied).toEqual(MIGRATIONS.slice(earlier.migrations.length));
    const since = writers.commits;
    await expect.poll(() => writers.commits, { timeout: 10_000 }).toBeGreaterThan(since + 50);
    await writers.stop();
    await stage.untilDrained();
    expect(await stage.faults()).toEqual([]);
    expect(writers.failures).toEqual([]);
    expect(eventsOf(old)).not.toContain('term-failed');
  });

  test('relays of both versions take over from each other: in order, killed, frozen, and back', async () => {
    await using stage = await openOldStage();
    await using writers = stage.startWriters();
    const standBy = async (main?: string) => {
      const relay = await stage.startRelayProcess(main === undefined ? {} : { main });
      await relay.line('ready');
      return relay;
    };
    await using old = await standBy(earlier.main);
    await migrate({ url: stage.databaseUrl });

    await using present = await standBy();
    old.kill('SIGTERM');
    await untilLeading(present);
    expect(await old.exit).toBe(0);

    await using oldAgain = await standBy(earlier.main);
    await stage.untilPublishing({ events: 2_000, share: 0.2 });
    present.kill('SIGKILL');
    await untilLeading(oldAgain);

    await using presentAgain = await standBy();
    await stage.untilPublishing({ events: 2_000, share: 0.2 });
    oldAgain.kill('SIGSTOP');
    await untilLeading(presentAgain);
    const frozenAt = oldAgain.lines.length;
    oldAgain.kill('SIGCONT');
    // It notices; whether it leads again later is a matter of who has the time to renew a lease on this machine.
    const rolesSince = () => oldAgain.lines.slice(frozenAt).flatMap(({ role }) => role ?? []);
    await expect.poll(() => rolesSince()[0], { timeout: 20_000 }).not.toBeOneOf([undefined, 'leader']);

    // Back: the schema stays as it is.
    presentAgain.kill('SIGTERM');
    await untilLeading(oldAgain);
    expect(await presentAgain.exit).toBe(0);
    await stage.untilPublishing({ events: 2_000, share: 0.2 });
    await writers.stop();
    await stage.untilDrained();
    expect(await stage.faults()).toEqual([]);
    expect(writers.failures).toEqual([]);
  });

  test('the new relay refuses the old schema, with what to do, and the old command line the new one', async () => {
    await using stage = await openOldStage();
    const env = { DATABASE_URL: stage.databaseUrl, NATS_URL: stage.natsUrl, POSTCOMMIT_HTTP: 'off' };
    const refused = await runCli(['relay'], env);
    expect(refused).toMatchObject({ code: 5, stderr: expect.stringContaining('postcommit migrate') });
    await migrate({ url: stage.databaseUrl });
    await expect(earlier.migrate(stage.databaseUrl)).rejects.toThrow('is newer than this version');
  });
});

/** By what it answers now: a line of its log may be of a lead that it has lost again. */
async function untilLeading(relay: RelayProcess): Promise<void> {
  const now = async () => {
    const readiness = await relay.readiness();
    return readiness?.role === 'leader' ? 'leader' : { ...readiness, log: relay.lines.slice(-5) };
  };
  await expect.poll(now, { timeout: 30_000 }).toBe('leader');
}

function eventsOf(relay: RelayProcess): (string | undefined)[] {
  return relay.lines.map(({ event }) => event);
}
