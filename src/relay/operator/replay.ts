import { batchesWithin, lastBatch, logSpan } from '../../batch-log/recover.ts';
import type { StoredEvent } from '../../event.ts';
import { createSubjectFilter } from '../../jetstream/index.ts';
import type { Session } from '../../postgres/session.ts';
import { answerIfLeading } from '../../requests/requests.ts';
import { eventsAt } from '../lane/events-at.ts';
import type { Lane } from '../lane/lane.ts';
import { placementOf } from '../lane/placement.ts';
import type { ReplayDetail } from './details.ts';
import { answered, type Handling, type OperatorContext } from './handling.ts';
import { route } from './route.ts';

/** As many events are planned at a time; between two such portions new events have their turn. */
const AT_ONCE = 500;

/** How far a replay is, in its request's row: a lane that pauses, or a new leader, goes on from there. */
interface Progress {
  /** Every lane has what was wished up to this position. */
  readonly above: number;
  readonly replayed: number;
  /** The lanes that have the portion behind it already, which ends at `to`: asked again, it may hold other events. */
  readonly done: readonly string[];
  readonly to: number | null;
}

/**
 * Publishes events of the past again, as copies: same event id, so that an inbox knows them, and a message id of their
 * own. Only what every lane has read and the outbox still holds.
 */
export async function replay(context: OperatorContext, id: number, wish: ReplayDetail): Promise<Handling> {
  const { session, openFrom } = context;
  const end = openFrom();
  const sequenced = await positionsBySequence(session, wish);
  if (typeof sequenced === 'string') return answered({ error: sequenced });
  let progress = await progressOf(session, id);
  for (;;) {
    const { above, replayed, to } = progress;
    const before = to === null ? end : Math.min(end, to + 1);
    const positions = await nextPositions(session, { wish, above, end: before, sequenced });
    const last = to ?? positions.at(-1);
    if (last === undefined) return answered({ replayed });
    const events = await wanted(session, wish, positions);
    const portion = await replayPortion(context, id, {
      progress: { ...progress, to: last },
      shares: sharesOf(context, wish, events),
    });
    if (portion.kind !== 'planned') return portion;
    progress = { above: last, replayed: portion.replayed, done: [], to: null };
    if (!(await note(context, id, progress))) return { kind: 'fenced' };
  }
}

type Portion =
  | { readonly kind: 'planned'; readonly replayed: number }
  | { readonly kind: 'later' | 'abandoned' | 'fenced' };

/** Lane by lane: what one has is written down before the next is asked, which may have to wait for long. */
async function replayPortion(
  context: OperatorContext,
  id: number,
  { progress, shares }: { progress: Progress; shares: readonly (readonly [Lane, readonly StoredEvent[]])[] },
): Promise<Portion> {
  const { above, to } = progress;
  let { replayed, done } = progress;
  for (const [lane, events] of shares) {
    if (done.includes(lane.stream)) continue;
    const repeated = await lane.repeat({ kind: 'replay', events });
    if (repeated !== 'planned') return { kind: repeated };
    replayed += events.length;
    done = [...done, lane.stream];
    if (shares.length > 1 && !(await note(context, id, { above, replayed, done, to })))
      return { kind: 'fenced' };
  }
  return { kind: 'planned', replayed };
}

async function progressOf(session: Session, id: number): Promise<Progress> {
  const [row] = await session.query({
    text: `select coalesce((result->>'above')::int8, 0), coalesce((result->>'replayed')::int8, 0),
                  coalesce(result->'done', '[]')::text, (result->>'to')::int8
             from postcommit.requests where id = $1`,
    values: [id],
  });
  return {
    above: Number(row?.[0] ?? 0),
    replayed: Number(row?.[1] ?? 0),
    done: JSON.parse(row?.[2] ?? '[]') as string[],
    to: row?.[3] == null ? null : Number(row[3]),
  };
}

/** False: another epoch leads. */
function note({ session, epoch }: OperatorContext, id: number, result: Progress): Promise<boolean> {
  return answerIfLeading(session, epoch, { id, result, finished: false });
}

/** Of one stream, if that was said. */
function sharesOf(context: OperatorContext, { stream }: ReplayDetail, events: readonly StoredEvent[]) {
  return [...route(context, events)].filter(([lane]) => stream === undefined || lane.stream === stream);
}

async function wanted(
  session: Session,
  { subject }: ReplayDetail,
  positions: readonly number[],
): Promise<StoredEvent[]> {
  const events = [...(await eventsAt(session, positions)).values()];
  if (subject === undefined) return events;
  const matches = createSubjectFilter([subject]);
  return events.filter((event) => matches(event.subject));
}

async function nextPositions(
  session: Session,
  options: { wish: ReplayDetail; above: number; end: number; sequenced: readonly number[] | undefined },
): Promise<number[]> {
  const { wish, above, end, sequenced } = options;
  const rows = await session.query({
    name: 'postcommit_replay_positions',
    text: `select position from postcommit.outbox o
            where position > $1 and position < $2 and position >= $3 and ($4::int8 is null or position <= $4)
              and ($5::timestamptz is null or created_at >= $5) and ($6::timestamptz is null or created_at < $6)
              and ($7::text is null or key = $7) and ($8::int8[] is null or position = any($8))
              and not exists (select from postcommit.dead_letters d where d.consumer is null and d.position = o.position
                                 and d.state in ('marking', 'parked', 'held', 'discarded'))
            order by position limit ${AT_ONCE}`,
    values: [
      above,
      end,
      wish.fromPosition ?? 0,
      wish.toPosition ?? null,
      wish.since ?? null,
      wish.until ?? null,
      wish.key ?? null,
      sequenced ?? null,
    ],
  });
  return rows.map(([position]) => Number(position));
}

/** What is chosen by sequence is looked up at once, and this many positions fit well into memory and a statement. */
const SEQUENCES_AT_MOST = 1_000_000;

/** The batch log is the map from a stream's sequences to positions. A text says why there is none. */
async function positionsBySequence(
  session: Session,
  { stream, fromSequence, toSequence }: ReplayDetail,
): Promise<readonly number[] | undefined | string> {
  if (stream === undefined || (fromSequence === undefined && toSequence === undefined)) return undefined;
  const last = await lastBatch(session, stream);
  if (last === undefined) return [];
  const { incarnation } = last;
  const span = await logSpan(session, stream, incarnation);
  const from = Math.max(fromSequence ?? 1, span.start);
  const to = Math.min(toSequence ?? span.end, span.end);
  if (to - from >= SEQUENCES_AT_MOST)
    return `sequences ${from} to ${to} are more than ${SEQUENCES_AT_MOST} at a time: set fromSequence and toSequence closer together, or choose by position or time`;
  const batches = await batchesWithin(session, { stream, incarnation, from, to, since: span.since });
  return [...placementOf(batches).slots]
    .filter(([sequence, { what }]) => what === 'event' && sequence >= from && sequence <= to)
    .map(([, { position }]) => position);
}
