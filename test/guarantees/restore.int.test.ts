import pg from 'pg';
import { expect, test } from 'vitest';
import { type Consumer, consume } from '../../src/consumer/index.ts';
import { startArchived } from '../support/point-in-time.ts';
import { query } from '../support/query.ts';
import { withDatabase } from '../support/with-database.ts';
import { openStage, type Stage } from './stage.ts';

test('a database restored to an earlier point goes on behind what the stream has, and nothing of it is stored again', async () => {
  await using archived = await startArchived();
  await using stage = await openStage({ postgresUrl: archived.server.url });
  const databaseName = new URL(stage.databaseUrl).pathname.slice(1);
  await stage.pool.query('CREATE TABLE effects (event_id text NOT NULL)');
  {
    await using relay = await stage.startRelay();
    await using consumer = await startConsumer(stage, stage.databaseUrl);
    await relay.until('publishing');
    await stage.write(30, { payload: 'kept' });
    await stage.untilDrained();
    await consumer.hasEffects(30);
    await archived.backUp();
    await stage.write(20, { payload: 'kept as well' });
    await stage.untilDrained();
    await consumer.hasEffects(50);
    await archived.mark('before_the_mistake');
    await stage.write(40, { payload: 'lost' });
    await stage.untilDrained();
    await consumer.hasEffects(90);
    await consumer.stop();
    await relay.relay.stop();
  }
  const restored = await archived.restore('before_the_mistake');
  const url = withDatabase(restored.url, databaseName);
  expect(await query(url, 'SELECT count(*)::int FROM postcommit.outbox')).toEqual([[50]]);
  expect(await query(url, 'SELECT count(*)::int FROM effects')).toEqual([[50]]);

  await using relay = await stage.startRelay({ databaseUrl: () => url });
  await relay.until('publishing');
  expect(relay.lines).toContainEqual(
    expect.objectContaining({ event: 'database-behind-stream', strays: 40 }),
  );
  await query(url, insert(stage.subject, 10));
  await expect.poll(() => stage.lastSequence(), { timeout: 10_000 }).toBe(100);
  const messages = await stage.messages();
  expect(new Set(messages.map(({ eventId }) => eventId)).size).toBe(100);
  expect(new Set(messages.map(({ position }) => position)).size).toBe(100);

  // The durable still counts the lost 40 as done, and the inbox forgot them: only a new durable asks again.
  {
    await using consumer = await startConsumer(stage, url);
    await consumer.hasEffects(60);
    await consumer.stop();
  }
  await stage.jsm.consumers.delete(stage.stream, 'letters');
  await using consumer = await startConsumer(stage, url);
  await consumer.hasEffects(100);
  expect(await query(url, 'SELECT count(DISTINCT event_id)::int FROM effects')).toEqual([[100]]);
  await consumer.stop();
});

interface RunningConsumer extends AsyncDisposable {
  hasEffects(count: number): Promise<void>;
  stop(): Promise<void>;
}

async function startConsumer(stage: Stage, url: string): Promise<RunningConsumer> {
  const db = new pg.Pool({ connectionString: url });
  let consumer: Consumer | undefined = await consume(
    { nats: stage.natsUrl, stream: stage.stream, durable: 'letters', db },
    async ({ id }, { tx }) => {
      await tx.query('INSERT INTO effects (event_id) VALUES ($1)', [id]);
    },
  );
  const stop = async () => {
    const running = consumer;
    consumer = undefined;
    if (running === undefined) return;
    await running.stop();
    await db.end();
  };
  return {
    hasEffects: (count) =>
      expect
        .poll(() => query(url, 'SELECT count(*)::int FROM effects'), { timeout: 20_000 })
        .toEqual([[count]]),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function insert(subject: string, count: number): string {
  return `INSERT INTO postcommit.outbox (subject, payload) SELECT '${subject}', 'new' FROM generate_series(1, ${count})`;
}
