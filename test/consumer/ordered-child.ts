import pg from 'pg';
import { type ConsumerOrder, consume } from '../../src/consumer/index.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { seededRandom } from '../support/seeded-random.ts';

/** One instance of a consumer in a process of its own, until it is killed. */
export interface OrderedChildSettings {
  readonly databaseUrl: string;
  readonly nats: string;
  readonly stream: string;
  readonly durable: string;
  readonly order: ConsumerOrder;
  readonly leaseTtlMs: number;
  readonly concurrency: number;
  readonly batchSize: number;
  readonly ackWaitMs: number;
  readonly confirmAck?: boolean;
  /** Of attempts. */
  readonly failing: number;
  readonly seed: number;
}

const settings = JSON.parse(process.env.SETTINGS ?? '') as OrderedChildSettings;
const { databaseUrl, failing, seed, ...options } = settings;
const random = seededRandom(seed);
const pool = new pg.Pool({ connectionString: databaseUrl, max: settings.concurrency + 2 });
pool.on('error', () => undefined);
const logger = createLogger();
await consume(
  {
    ...options,
    db: pool,
    prefetch: 500,
    maxAttempts: 1_000,
    backoff: { firstMs: 2, maxMs: 20 },
    logger,
  },
  async (event, { tx }) => {
    if (random() < failing) throw new Error('it fails now and then');
    await tx.query('INSERT INTO effects (event_id, key, version, instance) VALUES ($1, $2, $3, $4)', [
      event.id,
      event.key,
      event.headers.Version,
      process.pid,
    ]);
  },
);
