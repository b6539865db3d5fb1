import type pg from 'pg';
import { onTestFinished } from 'vitest';
import {
  type BatchHandler,
  type ConsumeOptions,
  consume,
  consumeBatches,
  type Handler,
} from '../../src/consumer/index.ts';
import type { OutboxEvent } from '../../src/event.ts';
import { enqueue } from '../../src/outbox/enqueue.ts';
import { openStage, type Stage, type StageOptions } from '../guarantees/stage.ts';

/** A stage whose writer writes through `enqueue()`, and a consumer behind it. */
export interface Scene extends Stage {
  /** One transaction with these events on the stage's subject. Returns their ids. */
  enqueue(...events: Partial<OutboxEvent>[]): Promise<string[]>;
  consume(handler: Handler<pg.PoolClient>, options?: Options): Promise<void>;
  consumeBatches(handler: BatchHandler<pg.PoolClient>, options?: Options): Promise<void>;
  /** The headers of a message, without those of NATS and postcommit. */
  headersAt(sequence: number): Promise<Record<string, string>>;
}

type Options = Partial<ConsumeOptions<pg.Pool>>;

export async function openScene(options: StageOptions = {}): Promise<Scene> {
  const stage = await openStage(options);
  onTestFinished(() => stage[Symbol.asyncDispose]());
  const { pool, subject, stream, natsUrl, jsm } = stage;
  const consuming = (more: Options) => ({
    nats: natsUrl,
    stream,
    durable: 'billing',
    db: pool,
    backoff: { firstMs: 5, maxMs: 20 },
    ...more,
  });
  return {
    ...stage,
    async enqueue(...events) {
      const client = await pool.connect();
      await client.query('BEGIN');
      const ids = await enqueue(
        client,
        events.map((event) => ({ subject, payload: {}, ...event })),
      );
      await client.query('COMMIT');
      client.release();
      return ids;
    },
    async consume(handler, more = {}) {
      const consumer = await consume(consuming(more), handler);
      onTestFinished(() => consumer.stop());
    },
    async consumeBatches(handler, more = {}) {
      const consumer = await consumeBatches(consuming(more), handler);
      onTestFinished(() => consumer.stop());
    },
    async headersAt(sequence) {
      const message = await jsm.streams.getMessage(stream, { seq: sequence });
      const names = message?.header.keys().filter((name) => !/^(nats|postcommit)-/i.test(name)) ?? [];
      return Object.fromEntries(names.map((name) => [name, message?.header.get(name) ?? '']));
    },
  };
}
