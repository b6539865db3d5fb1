import pg from 'pg';

const CHUNK = 1_000;
const PAYLOAD_BYTES = 256;

export interface Backlog {
  readonly stream: string;
  /** Events of transactions that have committed. */
  readonly count: number;
}

/** A transaction that was begun and waits. Disposed of, it is rolled back. */
export interface OpenTransaction extends AsyncDisposable {
  end(how: 'commit' | 'rollback'): Promise<void>;
}

/** Events of small transactions, at positions without gaps. */
export async function writeBacklog(url: string, { stream, count }: Backlog): Promise<void> {
  await using writer = await connect(url);
  for (let i = 0; i < count; i += CHUNK)
    await writer.client.query(
      `insert into postcommit.outbox (subject, key, payload)
       select $1 || '.bench', 'writer', convert_to(repeat('x', $2), 'UTF8') from generate_series(1, $3)`,
      [stream, PAYLOAD_BYTES, CHUNK],
    );
}

/**
 * The same beside one transaction that inserts as many events in the meantime and stays open: every second position is
 * its, so that each is a gap of its own. Positions are given here, since sessions that draw them in turn would need a round
 * trip for each. In the table the rows of both lie as closely together as they would otherwise.
 */
export async function writeInterleaved(url: string, { stream, count }: Backlog): Promise<OpenTransaction> {
  await using writer = await connect(url);
  const bulk = await connect(url);
  await bulk.client.query('begin');
  for (let from = 1; from < 2 * count; from += 2 * CHUNK) {
    await insertEverySecond(bulk.client, { stream, key: 'bulk', from });
    await insertEverySecond(writer.client, { stream, key: 'writer', from: from + 1 });
  }
  await writer.client.query(`select setval('postcommit.outbox_position_seq', $1)`, [2 * count]);
  return openTransaction(bulk);
}

async function insertEverySecond(
  client: pg.Client,
  { stream, key, from }: { stream: string; key: string; from: number },
): Promise<void> {
  await client.query(
    `insert into postcommit.outbox (position, subject, key, payload) overriding system value
     select p, $1 || '.bench', $2, convert_to(repeat('x', $3), 'UTF8') from generate_series($4::int8, $4 + 2 * $5 - 1, 2) p`,
    [stream, key, PAYLOAD_BYTES, from, CHUNK],
  );
}

/** A transaction that has inserted so many events and stays open. */
export async function insertUncommitted(url: string, { stream, count }: Backlog): Promise<OpenTransaction> {
  const bulk = await connect(url);
  await bulk.client.query('begin');
  await bulk.client.query(
    `insert into postcommit.outbox (subject, key, payload)
     select $1 || '.bench', 'bulk', convert_to(repeat('x', $2), 'UTF8') from generate_series(1, $3)`,
    [stream, PAYLOAD_BYTES, count],
  );
  return openTransaction(bulk);
}

/** A transaction with an id and a snapshot: no row that others leave dead from now on can be removed. */
export async function holdXmin(url: string): Promise<OpenTransaction> {
  const holder = await connect(url);
  await holder.client.query('begin isolation level repeatable read');
  await holder.client.query('select pg_current_xact_id()');
  return openTransaction(holder);
}

interface Connected extends AsyncDisposable {
  readonly client: pg.Client;
}

async function connect(url: string): Promise<Connected> {
  const client = new pg.Client(url);
  client.on('error', () => undefined); // Its database may be dropped under it, when something else has failed.
  await client.connect();
  return { client, [Symbol.asyncDispose]: () => client.end() };
}

function openTransaction({ client }: Connected): OpenTransaction {
  return {
    async end(how) {
      await client.query(how);
      await client.end();
    },
    [Symbol.asyncDispose]: () => client.end(),
  };
}
