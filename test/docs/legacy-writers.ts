import pg from 'pg';
import { sleep } from '../../src/lifecycle/abort.ts';
import { seededRandom } from '../support/seeded-random.ts';

/** Services that write into an outbox of their own making and know nothing of postcommit. They never stop by themselves. */
export interface LegacyWriters {
  readonly failures: readonly string[];
  /** Events whose transactions were confirmed. */
  readonly committed: number;
  stop(): Promise<void>;
}

const AGGREGATES = 12;

/** What the writers promise each other: versions of an aggregate count up, and a ledger holds each event that committed. */
export const BUSINESS = `
  CREATE TABLE aggregates (id text PRIMARY KEY, version int NOT NULL);
  INSERT INTO aggregates SELECT 'a' || i, 0 FROM generate_series(1, ${AGGREGATES}) i;
  CREATE TABLE ledger (id uuid PRIMARY KEY, aggregate text NOT NULL, version int NOT NULL);`;

/** `insert` writes one event: $1 its id, $2 its aggregate, $3 its payload. */
export function startLegacyWriters(url: string, insert: string): LegacyWriters {
  const stopping = new AbortController();
  const record = { committed: 0, failures: [] as string[] };
  const writers = Array.from({ length: 4 }, (_, i) =>
    write({ url, insert, random: seededRandom(i + 1), signal: stopping.signal, record }),
  );
  return {
    failures: record.failures,
    get committed() {
      return record.committed;
    },
    async stop() {
      stopping.abort();
      await Promise.all(writers);
    },
  };
}

interface Writer {
  readonly url: string;
  readonly insert: string;
  readonly random: () => number;
  readonly signal: AbortSignal;
  readonly record: { committed: number; failures: string[] };
}

async function write({ url, insert, random, signal, record }: Writer): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  while (!signal.aborted) {
    try {
      await transact(client, { insert, random });
      record.committed++;
    } catch (error) {
      if (!(error instanceof RolledBack)) record.failures.push(String(error));
      await client.query('ROLLBACK');
    }
    await sleep(random() * 8, signal);
  }
  await client.end();
}

class RolledBack extends Error {}

async function transact(
  client: pg.Client,
  { insert, random }: Pick<Writer, 'insert' | 'random'>,
): Promise<void> {
  const aggregate = `a${1 + Math.floor(random() * AGGREGATES)}`;
  await client.query('BEGIN');
  // The lock on the aggregate orders its events.
  const { rows } = await client.query(
    'UPDATE aggregates SET version = version + 1 WHERE id = $1 RETURNING version, gen_random_uuid() AS id',
    [aggregate],
  );
  const { version, id } = rows[0];
  await client.query(insert, [id, aggregate, JSON.stringify({ aggregate, version })]);
  await client.query('INSERT INTO ledger VALUES ($1, $2, $3)', [id, aggregate, version]);
  if (random() < 0.1) throw new RolledBack();
  await client.query('COMMIT');
}
