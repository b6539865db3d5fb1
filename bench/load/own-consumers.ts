import type pg from 'pg';
import { type ConsumeOptions, type Consumer, consume, consumeBatches } from '../../src/consumer/index.ts';
import type { ConsumerRun, StartConsuming } from '../baselines/consumer-child.ts';
import type { ConsumerVariant } from './consumer-process.ts';

type OwnVariant = Exclude<ConsumerVariant, 'stock' | 'floor'>;
type Options = ConsumeOptions<pg.Pool>;

const SETTINGS: Readonly<Record<OwnVariant, Partial<Options>>> = {
  one: {},
  'batch-10': { batchSize: 10 },
  'batch-100': { batchSize: 100 },
  'batch-1000': { batchSize: 1_000 },
  'batches-100': { batchSize: 100 },
  'none-4': { order: 'none', concurrency: 4 },
};

/** Each event is one row; in order by key, unless the variant says otherwise. */
export function consumeOwn(variant: OwnVariant): StartConsuming {
  return async ({ task, pool, onEvent }) => {
    const { natsUrl: nats, stream, durable, from: deliverPolicy } = task;
    const settings = SETTINGS[variant];
    const prefetch = Math.max(500, 2 * (settings.batchSize ?? 1));
    const options: Options = { nats, stream, durable, db: pool, deliverPolicy, prefetch, ...settings };
    const consumer = await start(variant, options, onEvent);
    await consumer.ready;
    return { stop: () => consumer.stop() };
  };
}

function start(variant: OwnVariant, options: Options, onEvent: ConsumerRun['onEvent']): Promise<Consumer> {
  if (variant === 'batches-100')
    return consumeBatches(options, async (events, { tx }) => {
      for (const { payload } of events) onEvent(payload);
      await tx.query(
        'insert into effects (event_id, key, sequence) select * from unnest($1::text[], $2::text[], $3::bigint[])',
        [events.map(({ id }) => id), events.map(({ key }) => key), events.map(({ sequence }) => sequence)],
      );
    });
  return consume(options, async ({ id, key, sequence, payload }, { tx }) => {
    onEvent(payload);
    await tx.query('insert into effects (event_id, key, sequence) values ($1, $2, $3)', [id, key, sequence]);
  });
}
