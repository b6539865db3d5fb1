import pg from 'pg';
import { type Consumer, consume } from '../../../src/consumer/index.ts';
import type { Consumption } from '../drivers/consumer.ts';
import { serve } from '../drivers/lines.ts';

// What this package consumes with, held against the page as any other client. It prunes by itself.
const db = new pg.Pool({ connectionString: process.env.DATABASE_URL });
db.on('error', () => undefined);
let running: Consumer | undefined;

await serve({
  async consume({ stream, durable, subjects, ackWaitMs, order = 'none' as never, maxAttempts }: Consumption) {
    const { NATS_URL: nats = '' } = process.env;
    const options = { nats, stream, durable, subjects, db, order, ackWaitMs, maxAttempts: maxAttempts ?? 20 };
    running = await consume(options, async ({ id, subject, key, type, headers, payload }, { tx }) => {
      await tx.query(
        `INSERT INTO conformance.effects (consumer, event_id, subject, key, type, headers, payload)
         VALUES ($1, $2, $3, $4, $5, $6, $7)`,
        [durable, id, subject, key, type, JSON.stringify(headers), Buffer.from(payload)],
      );
    });
    return undefined;
  },
  async stop() {
    await running?.stop();
    return undefined;
  },
});
process.exit(0);
