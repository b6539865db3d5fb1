import pg from 'pg';

/** Runs one statement on a connection of its own and returns its rows as arrays. */
export async function query(url: string, sql: string): Promise<unknown[][]> {
  const client = new pg.Client({ connectionString: url });
  // A session that the server ends fails the query, and may be reported once more when no query runs.
  client.on('error', () => undefined);
  await client.connect();
  try {
    const { rows } = await client.query<unknown[]>({ text: sql, rowMode: 'array' });
    return rows;
  } finally {
    await client.end();
  }
}
