import { join } from 'node:path';
import { expect, test } from 'vitest';
import { versionFolders } from '../../src/embedded/find-executable.ts';
import { startPostgres as startEmbeddedPostgres } from '../../src/embedded/index.ts';
import { FAITHFUL, insertEvents, openOutbox } from '../support/outbox-harness.ts';
import { query } from '../support/query.ts';
import { startPostgres } from '../support/services.ts';

/** What `docs` tell an administrator to grant, and nothing else. */
const ROLES = `
create role relay login;
create role writer login;
grant usage on schema postcommit to relay, writer;
grant select, insert, update, delete on postcommit.batches, postcommit.lease, postcommit.requests,
  postcommit.dead_letters, postcommit.inbox, postcommit.migrations to relay;
grant select on postcommit.outbox to relay;
grant select, truncate on postcommit.outbox_0, postcommit.outbox_1, postcommit.outbox_2, postcommit.outbox_3,
  postcommit.outbox_4, postcommit.outbox_5, postcommit.outbox_6, postcommit.outbox_7 to relay;
grant select, update on sequence postcommit.segment, postcommit.parked_until, postcommit.outbox_position_seq to relay;
grant insert (subject, payload, key, type, headers, event_id) on postcommit.outbox to writer;
grant select on sequence postcommit.segment, postcommit.parked_until to writer;
`;

function as(role: string, url: string): string {
  const changed = new URL(url);
  changed.username = role;
  return changed.href;
}

/** Two servers: the one of this run's backend, and the distribution's, where there is one. */
const distributions = (await versionFolders('/usr/lib/postgresql')).map((folder) => join(folder, 'bin'));

test.for([undefined, ...distributions])(
  'a relay and a writer with their own privileges alone (%s)',
  async (binDir) => {
    await using server = await (binDir === undefined ? startPostgres() : startEmbeddedPostgres({ binDir }));
    await using outbox = await openOutbox({ databaseUrl: server.url });
    await query(server.url, ROLES);
    await query(server.url, 'revoke select on sequence postcommit.segment from relay');
    await expect(outbox.startRelay({ databaseUrl: () => as('relay', outbox.url) })).rejects.toMatchObject({
      code: 'database-unsuitable',
      message: expect.stringContaining('postcommit.segment'),
      hint: expect.stringContaining('GRANT SELECT'),
    });
    await query(server.url, 'grant select on sequence postcommit.segment to relay');
    const running = await outbox.startRelay({
      databaseUrl: () => as('relay', outbox.url),
      retentionMs: 600, // Leaves are left and emptied at each of the relay's rounds.
    });
    const writer = await outbox.connect({ url: as('writer', outbox.url) });
    await insertEvents(writer, outbox.subject, 10, 'insert');
    await writer.query(`select postcommit.enqueue($1, '1')`, [outbox.subject]);
    await outbox.untilStored(11);
    expect(await outbox.compare()).toEqual({ committed: 11, ...FAITHFUL });
    for (const forbidden of [
      `insert into postcommit.outbox (position, subject, payload) overriding system value values (1, 'a', '')`,
      `insert into postcommit.outbox_0 (subject, payload) values ('a', '')`,
      `insert into postcommit.outbox (segment, subject, payload) values (1, 'a', '')`,
      `select nextval('postcommit.outbox_position_seq')`,
      `select setval('postcommit.segment', 3)`,
      `select setval('postcommit.parked_until', 0)`,
      'select from postcommit.outbox',
      'delete from postcommit.outbox',
    ])
      await expect(writer.query(forbidden), forbidden).rejects.toMatchObject({ code: '42501' });

    await expect
      .poll(() => running.lines.map(({ event }) => event), { timeout: 20_000 })
      .toContain('segment-emptied');
    await insertEvents(writer, outbox.subject, 1, 'afterwards');
    await outbox.untilStored(12);

    // What an administrator does by mistake, this relay finds and puts right without more than its own privileges.
    const events = () => running.lines.map(({ event }) => event);
    const admin = await outbox.connect();
    await admin.query("select setval('postcommit.outbox_position_seq', 100)");
    const passed = async () => {
      await insertEvents(writer, outbox.subject, 1, 'behind a hole');
      const { rows } = await admin.query(
        'select coalesce(max(open_from), 0)::int as n from postcommit.batches',
      );
      return rows[0].n;
    };
    await expect.poll(passed, { timeout: 20_000, interval: 100 }).toBeGreaterThan(100);
    const stored = await outbox.stored();
    await admin.query(
      `insert into postcommit.outbox (position, subject, payload) overriding system value values (50, $1, 'passed over')`,
      [outbox.subject],
    );
    await expect.poll(events, { timeout: 20_000 }).toContain('uncovered-events');
    await outbox.untilStored(stored + 1);
    await admin.query("select setval('postcommit.outbox_position_seq', 60)");
    await expect.poll(events, { timeout: 20_000 }).toContain('sequence-moved');
    await insertEvents(writer, outbox.subject, 1, 'after the move');
    await outbox.untilStored(stored + 2);
    expect(running.lines.filter(({ event }) => event === 'term-failed')).toEqual([]);
  },
);
