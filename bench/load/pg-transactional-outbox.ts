import type pg from 'pg';
import { DatabaseSetup } from 'pg-transactional-outbox';
import { startBaseline } from '../servers/baseline-process.ts';
import type { RelayProcess, RelayTarget } from '../servers/relay-process.ts';
import type { TextbookBacklog } from './textbook-relay.ts';

/** Its own table, function and indexes, in a database of its own. */
export async function createRivalOutbox(pool: pg.Pool, database: string): Promise<void> {
  const config = {
    outboxOrInbox: 'outbox' as const,
    database,
    schema: 'public',
    table: 'outbox',
    listenerRole: 'public',
    nextMessagesName: 'next_outbox_messages',
  };
  await pool.query(DatabaseSetup.dropAndCreateTable(config));
  await pool.query(withEarlierCheck(DatabaseSetup.createPollingFunction(config)));
  await pool.query(DatabaseSetup.setupPollingIndexes(config));
}

/**
 * As its changelog of 0.6.4 has it, a version that is not on every registry: before it, the query locked rows that were under
 * way, and a message whose row it held failed and waited for five seconds.
 */
function withEarlierCheck(sql: string): string {
  const check = /IF message_row(\.locked_until > NOW\(\) THEN\s+CONTINUE;\s+END IF;)/;
  const [late, rest] = check.exec(sql) ?? [];
  // A later version has it already.
  if (late === undefined) return sql;
  return sql.replace(late, '').replace(/SELECT \*\s+INTO message_row/, `IF loop_row${rest}\n$&`);
}

const AROUND_TEXT = '{"x":""}'.length;

/**
 * `parallel` messages, whose order it does not keep: of a segment of `sequential` ones it has one under way, and takes
 * 290 events/s here. The JSON that it publishes has as many bytes as the payloads of the others.
 */
export async function fillRivalOutbox(
  pool: pg.Pool,
  { stream, count, bytes }: TextbookBacklog,
): Promise<void> {
  await pool.query(
    `insert into outbox (id, aggregate_type, aggregate_id, message_type, concurrency, payload, metadata)
     select gen_random_uuid(), 'bench', i::text, 'bench', 'parallel',
            jsonb_build_object('x', repeat('x', $2)), jsonb_build_object('subject', $1 || '.bench')
       from generate_series(1, $3::int) i`,
    [stream, bytes - AROUND_TEXT, count],
  );
}

/** The stream exists. Its messages carry their number, from 1 on, in the header `Bench-Number`. */
export function startRival(target: RelayTarget): Promise<RelayProcess> {
  return startBaseline({ ...target, script: 'pg-transactional-outbox.ts' });
}
