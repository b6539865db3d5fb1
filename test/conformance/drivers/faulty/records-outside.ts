import pg from 'pg';
import { STEPS, serveConsumer } from '../consumer.ts';

// The inbox row commits by itself, before the effect.
const other = new pg.Pool({ connectionString: process.env.DATABASE_URL });
await serveConsumer({
  async record(work) {
    const client = await other.connect();
    try {
      return await STEPS.record({ ...work, client });
    } finally {
      client.release();
    }
  },
});
