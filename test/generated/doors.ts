import { drizzle } from 'drizzle-orm/node-postgres';
import type pg from 'pg';
import { enqueue, type OutboxEvent, type TransactionHandle } from '../../src/index.ts';
import { bytesOf, type Candidate } from './event-arbitrary.ts';
import { isText } from './hostile-text.ts';

/** A refusal as a business transaction sees it. */
export interface Refusal {
  /** SQLSTATE, or the code of a PostcommitError. */
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/** Ways into the outbox of a JavaScript program. Each takes a list and writes all of it or nothing. */
export const SCRIPT_DOORS: Readonly<
  Record<string, (client: pg.Client, events: OutboxEvent[]) => Promise<unknown>>
> = {
  'enqueue(pg), one by one': async (client, events) => {
    for (const event of events) await enqueue(client, event);
  },
  'enqueue(pg), many': (client, events) => enqueue(client, events),
  'enqueue(handle), many': (client, events) =>
    enqueue({ query: (text: string, values: unknown[]) => client.query(text, values) }, events),
  'enqueue(Drizzle), many': (client, events) => enqueue(drizzleOn(client), events),
};

/** A Drizzle transaction on this client's, which stays the caller's to end. */
function drizzleOn(client: pg.Client): TransactionHandle {
  const database = drizzle(client);
  return {
    execute: (statement: never) => database.execute(statement),
    rollback: () => {
      throw new Error('the caller ends the transaction');
    },
  } as unknown as TransactionHandle;
}

export function toOutboxEvent({ subject, key, type, headers, eventId, payload }: Candidate): OutboxEvent {
  return {
    subject,
    payload: payload.kind === 'bytes' ? payload.bytes : payload.value,
    ...(key === undefined ? {} : { key }),
    ...(type === undefined ? {} : { type }),
    ...(headers === undefined ? {} : { headers: headers as Record<string, string> }),
    ...(eventId === undefined ? {} : { eventId }),
  };
}

/** A lone surrogate has no bytes, and PostgreSQL's text has no NUL: no driver can carry them to a door in SQL. */
export function canReachSql({ subject, key, type, headers, eventId }: Candidate): boolean {
  const texts = [subject, key ?? '', type ?? '', eventId ?? '', ...Object.entries(headers ?? {}).flat()];
  return texts.every((text) => typeof text !== 'string' || isText(text));
}

/** `postcommit.enqueue` takes `jsonb`, which holds no NUL and no lone surrogate, though JSON can write both. */
export function fitsJsonb({ payload }: Candidate): boolean {
  if (payload.kind !== 'json') return false;
  let fits = true;
  JSON.stringify(payload.value, (key, value) => {
    if (!isText(key) || (typeof value === 'string' && !isText(value))) fits = false;
    return value;
  });
  return fits;
}

export type SqlDoor = 'postcommit.enqueue' | 'postcommit.enqueue_bytes' | 'INSERT';
export const SQL_DOORS: readonly SqlDoor[] = ['postcommit.enqueue', 'postcommit.enqueue_bytes', 'INSERT'];

export function reaches(door: SqlDoor, candidate: Candidate): boolean {
  return canReachSql(candidate) && (door !== 'postcommit.enqueue' || fitsJsonb(candidate));
}

/** One request for a door in SQL. `keep` leaves the event in the transaction; otherwise it is only tried. */
export interface SqlRequest {
  readonly door: SqlDoor;
  readonly candidate: Candidate;
  readonly keep: boolean;
}

/** The answer for each request: undefined where the door took the event. */
export async function knockAtSql(
  client: pg.Client,
  requests: readonly SqlRequest[],
): Promise<(Refusal | undefined)[]> {
  const list = requests.map(({ door, candidate, keep }) => ({
    door,
    keep,
    subject: candidate.subject,
    key: candidate.key,
    type: candidate.type,
    headers: JSON.stringify(candidate.headers ?? {}),
    event_id: candidate.eventId,
    payload:
      door === 'postcommit.enqueue' && candidate.payload.kind === 'json'
        ? JSON.stringify(candidate.payload.value)
        : Buffer.from(bytesOf(candidate.payload)).toString('base64'),
  }));
  const { rows } = await client.query('select * from knock($1::json)', [JSON.stringify(list)]);
  return rows.map(({ code, message, hint }) => (code === null ? undefined : { code, message, hint }));
}

/** Tries every request in a subtransaction, inside the server: thousands would take too long by round trips. */
export const KNOCK = `
create function knock(requests json) returns table (code text, message text, hint text) language plpgsql as $$
declare
  request record;
begin
  for request in select * from json_to_recordset(requests)
    as r(door text, keep boolean, subject text, key text, type text, headers text, event_id text, payload text)
  loop
    code := null; message := null; hint := null;
    begin
      if request.door = 'postcommit.enqueue' then
        perform postcommit.enqueue(request.subject, request.payload::jsonb, request.key, request.headers::jsonb,
          request.event_id::uuid, request.type);
      elsif request.door = 'postcommit.enqueue_bytes' then
        perform postcommit.enqueue_bytes(request.subject, decode(request.payload, 'base64'), request.key,
          request.headers::jsonb, request.event_id::uuid, request.type);
      else
        insert into postcommit.outbox (event_id, subject, key, type, headers, payload)
        values (coalesce(request.event_id::uuid, gen_random_uuid()), request.subject, request.key, request.type,
          request.headers::jsonb, decode(request.payload, 'base64'));
      end if;
      if not request.keep then
        raise exception using errcode = 'TRIED';
      end if;
    exception when others then
      get stacked diagnostics code = returned_sqlstate, message = message_text, hint = pg_exception_hint;
      if code = 'TRIED' then code := null; message := null; hint := null; end if;
    end;
    return next;
  end loop;
end $$`;
