import type pg from 'pg';
import { startBaseline } from '../servers/baseline-process.ts';
import type { RelayProcess, RelayTarget } from '../servers/relay-process.ts';

export interface TextbookBacklog {
  /** The subjects begin with it. */
  readonly stream: string;
  readonly count: number;
  /** Of each payload. */
  readonly bytes: number;
}

/** `in-parallel`: all publishes of a batch are in flight at once, which gives up the order when one of them fails. */
export interface TextbookOptions {
  readonly publishing: 'one-by-one' | 'in-parallel';
  /** Rows of a transaction. Default 100. */
  readonly batch?: number;
}

/** In a database of its own, without postcommit's schema. */
export async function createTextbookOutbox(pool: pg.Pool): Promise<void> {
  await pool.query(`
    create table outbox (
      id bigserial primary key,
      event_id uuid not null default gen_random_uuid(),
      subject text not null,
      payload bytea not null,
      created_at timestamptz not null default now(),
      sent_at timestamptz
    );
    create index outbox_unsent on outbox (id) where sent_at is null`);
}

export async function fillTextbookOutbox(
  pool: pg.Pool,
  { stream, count, bytes }: TextbookBacklog,
): Promise<void> {
  await pool.query(
    `insert into outbox (subject, payload)
     select $1 || '.bench', convert_to(repeat('x', $2), 'UTF8') from generate_series(1, $3)`,
    [stream, bytes, count],
  );
}

/** The stream exists. Its messages carry the id of their row in the header `Bench-Number`. */
export function startTextbookRelay(
  target: RelayTarget,
  { publishing, batch = 100 }: TextbookOptions,
): Promise<RelayProcess> {
  return startBaseline({ ...target, script: 'textbook-relay.ts', args: [publishing, String(batch)] });
}
