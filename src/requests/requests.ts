import { WITHOUT_STANDBYS } from '../lease/lease.ts';
import type { Session, TextRow } from '../postgres/session.ts';

export type RequestKind = 'retry' | 'discard' | 'replay' | 'adopt' | 'audit' | 'cancel';

/** What an operator asks of the leader. The row stays behind as the record of who asked for what, and what came of it. */
export interface OperatorRequest {
  readonly id: number;
  readonly kind: RequestKind;
  /** As the operator wrote it: to be checked before it is believed. */
  readonly detail: Readonly<Record<string, unknown>>;
}

/** Writes a request; the leader finds it within about a second. Returns its id. */
export async function ask(session: Session, kind: RequestKind, detail: object): Promise<number> {
  const [row] = await session.query({
    text: 'insert into postcommit.requests (kind, detail) values ($1, $2::jsonb) returning id',
    values: [kind, JSON.stringify(detail)],
  });
  return Number(row?.[0]);
}

/** Undefined: there is none with this number. */
export async function requestOf(session: Session, id: number): Promise<OperatorRequest | undefined> {
  const [row] = await session.query({
    text: 'select id, kind, detail from postcommit.requests where id = $1',
    values: [id],
  });
  return row && toRequest(row);
}

/** Requests that nobody has finished, oldest first, but for those that take others back: they come before all. */
export async function openRequests(session: Session): Promise<OperatorRequest[]> {
  const rows = await session.query({
    name: 'postcommit_open_requests',
    text: `select id, kind, detail from postcommit.requests where finished_at is null
            order by kind <> 'cancel', id limit 100`,
  });
  return rows.map(toRequest);
}

function toRequest([id, kind, detail]: TextRow): OperatorRequest {
  const parsed: unknown = JSON.parse(detail ?? '{}');
  const isObject = typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed);
  return {
    id: Number(id),
    kind: kind as RequestKind,
    detail: isObject ? (parsed as Record<string, unknown>) : {},
  };
}

/** Writes down what came of a request, or how far it is. False: another epoch leads, and nothing was written. */
export async function answerIfLeading(
  session: Session,
  epoch: number,
  { id, result, finished }: { id: number; result: object; finished: boolean },
): Promise<boolean> {
  const rows = await session.query({
    name: 'postcommit_answer_request',
    text: `with chair as materialized (select epoch from postcommit.lease where epoch = $1 for share),
           answered as (
             update postcommit.requests
                set result = $3::jsonb, finished_at = case when $4 then clock_timestamp() end
              where id = $2 and finished_at is null and exists (select from chair))
           select ${WITHOUT_STANDBYS} from chair`,
    values: [epoch, id, JSON.stringify(result), finished],
  });
  return rows.length === 1;
}

export type Cancelled =
  | { readonly kind: 'cancelled'; readonly result: Readonly<Record<string, unknown>> }
  /** It was over before; `unknown`: there is no such replay. */
  | { readonly kind: 'finished' | 'unknown' }
  /** Another epoch leads, and nothing was written. */
  | { readonly kind: 'fenced' };

/** Ends a replay where it is. Its row keeps what was replayed until then, and the number of the request that ended it. */
export async function cancelIfLeading(
  session: Session,
  epoch: number,
  { id, by }: { id: number; by: number },
): Promise<Cancelled> {
  const [row] = await session.query({
    name: 'postcommit_cancel_request',
    text: `with chair as materialized (select epoch from postcommit.lease where epoch = $1 for share),
           asked as materialized (
             select finished_at from postcommit.requests where id = $2 and kind = 'replay' and exists (select from chair)),
           ended as (
             update postcommit.requests
                set finished_at = clock_timestamp(),
                    result = jsonb_strip_nulls(jsonb_build_object(
                      'replayed', coalesce((result->>'replayed')::int8, 0),
                      'refused', nullif((result->>'refused')::int8, 0),
                      'misrouted', nullif((result->>'misrouted')::int8, 0),
                      'cancelledBy', $3::int8))
              where id = $2 and kind = 'replay' and finished_at is null and exists (select from chair)
             returning result)
           select ${WITHOUT_STANDBYS}, (select count(*) from asked)::text, (select result::text from ended) from chair`,
    values: [epoch, id, by],
  });
  if (row === undefined) return { kind: 'fenced' };
  const [, known, result] = row;
  if (result != null) return { kind: 'cancelled', result: JSON.parse(result) as Record<string, unknown> };
  return { kind: known === '0' ? 'unknown' : 'finished' };
}

/** What came of a request so far. */
export async function answerOf(
  session: Session,
  id: number,
): Promise<{ readonly finished: boolean; readonly result: Readonly<Record<string, unknown>> | null }> {
  const [row] = await session.query({
    text: 'select (finished_at is not null)::text, result from postcommit.requests where id = $1',
    values: [id],
  });
  const result = row?.[1] == null ? null : (JSON.parse(row[1]) as Record<string, unknown>);
  return { finished: row?.[0] === 'true', result };
}

const KEPT_DAYS = 90;
const PRUNE_AT_MOST = 1_000;

/** Removes requests that were finished long ago. */
export async function pruneRequests(session: Session): Promise<void> {
  await session.query({
    name: 'postcommit_prune_requests',
    text: `delete from postcommit.requests where id in (
             select id from postcommit.requests
              where finished_at < clock_timestamp() - interval '${KEPT_DAYS} days' order by id limit ${PRUNE_AT_MOST})`,
  });
}
