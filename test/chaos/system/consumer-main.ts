import pg from 'pg';
import { consume } from '../../../src/consumer/index.ts';
import { createLogger } from '../../../src/telemetry/logger.ts';

// One instance of a durable consumer until SIGTERM: argv is the settings as JSON. Its effect is a row that nothing but
// the inbox keeps from being written twice.

export interface ConsumerSettings {
  readonly databaseUrl: string;
  readonly natsUrl: string;
  readonly stream: string;
  readonly durable: string;
  readonly subjects: readonly string[];
}

const { databaseUrl, natsUrl, stream, durable, subjects } = JSON.parse(
  process.argv[2] ?? '',
) as ConsumerSettings;
const pool = new pg.Pool({ connectionString: databaseUrl, max: 8, connectionTimeoutMillis: 2_000 });
pool.on('error', () => undefined); // Between two attempts to start nobody else listens.
const logger = createLogger();
const consumer = await start();
process.on('SIGTERM', () => {
  void consumer.stop().then(() => pool.end());
});

/** The first start needs both servers, and one of them may be down just then. */
async function start() {
  for (;;) {
    try {
      return await consume(
        {
          nats: natsUrl,
          stream,
          durable,
          subjects,
          db: pool,
          concurrency: 4,
          prefetch: 50,
          ackWaitMs: 2_000,
          backoff: { firstMs: 50, maxMs: 500 },
          logger,
        },
        async (event, { tx }) => {
          // A stranger's message has no version.
          await tx.query(
            'insert into chaos.effect (event_id, consumer, key, version) values ($1, $2, $3, $4)',
            [event.id, durable, event.key, event.headers['Patient-Version'] ?? null],
          );
        },
      );
    } catch (error) {
      logger.warn({ event: 'start-failed', reason: String(error) }, 'the consumer could not start');
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}
