import { batchesFrom, lastBatch, logSpan } from '../../batch-log/recover.ts';
import type { StoredEvent } from '../../event.ts';
import { createSubjectFilter } from '../../jetstream/index.ts';
import type { Session } from '../../postgres/session.ts';
import { answerIfLeading } from '../../requests/requests.ts';
import { eventsAt } from '../lane/events-at.ts';
import { placementOf } from '../lane/placement.ts';
import type { ReplayDetail } from './details.ts';
import { answered, type Handling, type OperatorContext } from './handling.ts';
import { route } from './route.ts';

/** As many events are planned at a time; between two such portions new events have their turn. */
const AT_ONCE = 500;

/**
 * Publishes events of the past again, as copies: same event id, so that an inbox knows them, and a message id of their
 * own. Only what every lane has read and the outbox still holds.
 */
export async function replay(context: OperatorContext, id: number, wish: ReplayDetail): Promise<Handling> {
  const { session, epoch, openFrom } = context;
  const end = openFrom();
  const [progress] = await session.query({
    text: `select coalesce((result->>'above')::int8, 0), coalesce((result->>'replayed')::int8, 0)
             from postcommit.requests where id = $1`,
    values: [id],
  });
  let [above, replayed] = [Number(progress?.[0] ?? 0), Number(progress?.[1] ?? 0)];
  const sequenced = await positionsBySequence(session, wish);
  for (;;) {
    const positions = await nextPositions(session, { wish, above, end, sequenced });
    if (positions.length === 0) return answered({ replayed });
    const events = await wanted(session, wish, positions);
    for (const [lane, share] of sharesOf(context, wish, events)) {
      const repeated = await lane.repeat({ kind: 'replay', events: share });
      if (repeated !== 'planned') return { kind: repeated };
      replayed += share.length;
    }
    above = positions.at(-1) ?? above;
    if (!(await answerIfLeading(session, epoch, { id, result: { above, replayed }, finished: false })))
      return { kind: 'fenced' };
  }
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

/** The batch log is the map from a stream's sequences to positions. */
async function positionsBySequence(
  session: Session,
  wish: ReplayDetail,
): Promise<readonly number[] | undefined> {
  const { stream, fromSequence, toSequence } = wish;
  if (stream === undefined || (fromSequence === undefined && toSequence === undefined)) return undefined;
  const last = await lastBatch(session, stream);
  if (last === undefined) return [];
  const { since } = await logSpan(session, stream, last.incarnation);
  const from = fromSequence ?? 1;
  const batches = await batchesFrom(session, {
    stream,
    incarnation: last.incarnation,
    sequence: from,
    since,
  });
  return [...placementOf(batches).slots]
    .filter(([sequence, { what }]) => what === 'event' && sequence >= from)
    .filter(([sequence]) => toSequence === undefined || sequence <= toSequence)
    .map(([, { position }]) => position);
}
