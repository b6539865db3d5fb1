import pg from 'pg';
import { sleep } from '../../src/lifecycle/abort.ts';
import { seededRandom } from './seeded-random.ts';

export interface WritersOptions {
  readonly url: string;
  readonly subject: string;
  readonly seed?: number;
  readonly count?: number;
  /** Longest pause between two transactions of one writer. Default 20. */
  readonly pauseMs?: number;
  /** `key-0` and so on. Default 20. */
  readonly keys?: number;
}

/** Business transactions in a loop, on connections of their own, a tenth of them rolled back. */
export interface Writers extends AsyncDisposable {
  /** Transactions whose commit was confirmed. */
  readonly commits: number;
  /** The longest time in which a transaction was not confirmed, in milliseconds. */
  readonly slowestMs: number;
  /** What ended transactions: empty unless the database goes away. */
  readonly failures: readonly string[];
  stop(): Promise<void>;
}

export function startWriters(options: WritersOptions): Writers {
  const { count = 4, seed = 1 } = options;
  const stopping = new AbortController();
  const record = { commits: 0, slowestMs: 0, failures: [] as string[] };
  const done = Promise.all(
    Array.from({ length: count }, (_, i) =>
      write({ ...options, record, random: seededRandom(seed * 1_000 + i), signal: stopping.signal }),
    ),
  );
  const stop = async () => {
    stopping.abort();
    await done;
  };
  return {
    get commits() {
      return record.commits;
    },
    get slowestMs() {
      return record.slowestMs;
    },
    failures: record.failures,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

interface Writer extends WritersOptions {
  readonly record: { commits: number; slowestMs: number; failures: string[] };
  readonly random: () => number;
  readonly signal: AbortSignal;
}

async function write(writer: Writer): Promise<void> {
  const { url, record, signal } = writer;
  while (!signal.aborted) {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => undefined);
    try {
      await client.connect();
      while (!signal.aborted) await transact(client, writer);
    } catch (error) {
      record.failures.push(String(error));
      await sleep(20, signal);
    } finally {
      await client.end().catch(() => undefined);
    }
  }
}

const INSERT = `insert into postcommit.outbox (subject, key, payload)
  select $1, $2, convert_to('payload ' || i || ' of ' || $3, 'UTF8') from generate_series(1, $4::int) i`;

async function transact(
  client: pg.Client,
  { subject, random, record, pauseMs = 20, keys = 20, signal }: Writer,
) {
  const startedAtMs = performance.now();
  const rollsBack = random() < 0.1;
  await client.query('begin');
  const key = `key-${Math.floor(random() * keys)}`;
  await client.query(INSERT, [subject, key, random().toString(36), 1 + Math.floor(random() * 4)]);
  await client.query(rollsBack ? 'rollback' : 'commit');
  if (!rollsBack) record.commits++;
  record.slowestMs = Math.max(record.slowestMs, performance.now() - startedAtMs);
  await sleep(random() * pauseMs, signal);
}
