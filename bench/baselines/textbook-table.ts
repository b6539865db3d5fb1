import pg from 'pg';
import { sleep } from '../../src/lifecycle/abort.ts';

/** The outbox of the usual articles: a row is marked once it was sent, and an index finds those that were not. */
export const TEXTBOOK_TABLE = `
  create table outbox (
    id bigint generated always as identity primary key,
    event_id uuid not null default gen_random_uuid(),
    subject text not null,
    key text,
    payload bytea not null,
    created_at timestamptz not null default clock_timestamp(),
    sent_at timestamptz
  );
  create index outbox_unsent on outbox (id) where sent_at is null`;

const BATCH = 100;
const POLL_MS = 10;

/** What the relay of the usual articles does to that table, without publishing: claims and marks until the signal. */
export async function markAsSent(url: string, signal: AbortSignal): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    while (!signal.aborted) {
      await client.query('begin');
      const { rows } = await client.query<{ id: string }>({
        name: 'claim',
        text: `select id, event_id, subject, payload from outbox
                where sent_at is null order by id limit $1 for update skip locked`,
        values: [BATCH],
      });
      const ids = rows.map(({ id }) => id);
      if (ids.length > 0)
        await client.query({
          name: 'mark',
          text: 'update outbox set sent_at = clock_timestamp() where id = any($1::bigint[])',
          values: [ids],
        });
      await client.query('commit');
      if (ids.length < BATCH) await sleep(POLL_MS, signal);
    }
  } finally {
    await client.end();
  }
}
