import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EmbeddedPostgres } from '../../src/embedded/index.ts';
import { assertNotSubscribed } from '../../src/outbox/suitability.ts';
import { openSession } from '../../src/postgres/session.ts';
import { query } from '../support/query.ts';
import { scratchName, startPostgres } from '../support/services.ts';
import { openStage, type Stage } from './stage.ts';

let postgres: EmbeddedPostgres;

beforeAll(async () => {
  postgres = await startPostgres({ settings: { wal_level: 'logical' } });
});
afterAll(() => postgres[Symbol.asyncDispose]());

test('a relay refuses the copy that a subscription keeps, and takes it when the subscription is switched off', async () => {
  await using origin = await openStage({ postgresUrl: postgres.url });
  await using copy = await openStage({ postgresUrl: postgres.url });
  await using subscription = await subscribe(copy, origin);
  const refusal = expect.objectContaining({
    code: 'database-unsuitable',
    message: expect.stringMatching(new RegExp(`${subscription.name} writes outbox_0, .*outbox_7`)),
  });
  await expect(copy.startRelay()).rejects.toEqual(refusal);
  await expect(asOrdinaryRole(copy)).rejects.toEqual(refusal);
  await using relay = await origin.startRelay();
  await relay.until('publishing');
  await query(copy.databaseUrl, `alter subscription ${subscription.name} disable`);
  await using promoted = await copy.startRelay();
  await promoted.until('publishing');
});

async function subscribe(copy: Stage, origin: Stage): Promise<AsyncDisposable & { readonly name: string }> {
  const name = scratchName('copies');
  const database = new URL(origin.databaseUrl).pathname.slice(1);
  await query(origin.databaseUrl, `create publication ${name} for table postcommit.outbox`);
  // In one server it cannot be made by the subscription, which would wait for its own transaction.
  await query(origin.databaseUrl, `select pg_create_logical_replication_slot('${name}', 'pgoutput')`);
  await query(
    copy.databaseUrl,
    `create subscription ${name} connection 'host=127.0.0.1 port=${postgres.port} user=postgres dbname=${database}'
       publication ${name} with (create_slot = false, copy_data = false)`,
  );
  return {
    name,
    async [Symbol.asyncDispose]() {
      await query(copy.databaseUrl, `alter subscription ${name} disable`);
      await query(copy.databaseUrl, `drop subscription ${name}`);
    },
  };
}

/** Managed services give nobody a superuser. */
async function asOrdinaryRole(stage: Stage): Promise<void> {
  const role = scratchName('ordinary');
  await query(postgres.url, `create role ${role} login`);
  const url = new URL(stage.databaseUrl);
  url.username = role;
  const session = await openSession({ url: url.href, name: 'test' });
  try {
    await assertNotSubscribed(session);
  } finally {
    await session.close();
    await query(postgres.url, `drop role ${role}`);
  }
}
