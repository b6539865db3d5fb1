import type { Batch } from '../../batch-log/batch.ts';
import { batchesFrom, logSpan } from '../../batch-log/recover.ts';
import { type ReadBack, readBack, type StreamState } from '../../jetstream/index.ts';
import type { LaneContext } from './lane.ts';
import { placementOf } from './placement.ts';

/**
 * Tells the stream that was planned for from one made anew under its name, where the creation time cannot: nats-server
 * 2.9 and 2.10 give a stream that was configured anew after a restart the time of that restart, at the next one. What
 * proves it is what it holds.
 */
export interface Lineage {
  /** The stream under the creation time that the log knows it by. */
  named(stream: StreamState): StreamState;
  /** As `named`, which knows it from then on if it holds what the log planned for the one of another creation time. */
  recognise(stream: StreamState, last: Batch | undefined, signal: AbortSignal): Promise<StreamState>;
}

/** So many messages are looked at. */
const EVIDENCE = 64;

type LineageContext = Pick<LaneContext, 'session' | 'link' | 'source' | 'logger'>;

export function createLineage(context: LineageContext): Lineage {
  const { logger } = context;
  const names = new Map<string, string>();
  const named = (stream: StreamState) => ({
    ...stream,
    created: names.get(stream.created) ?? stream.created,
  });
  return {
    named,
    async recognise(stream, last, signal) {
      const { name, created } = stream;
      if (last === undefined || last.incarnation === named(stream).created) return named(stream);
      const prove = last.ordering === 'stream' ? liesInItsSlots : liesBehindItsPlan;
      if (!(await prove(context, { stream, last, signal }))) return stream;
      names.set(created, last.incarnation);
      logger.info(
        { event: 'stream-recognised', stream: name, created, known: last.incarnation },
        `stream '${name}' gives another time of creation than before, and holds what was planned: it is the same`,
      );
      return named(stream);
    },
  };
}

interface Question {
  readonly stream: StreamState;
  readonly last: Batch;
  readonly signal: AbortSignal;
}

/** Messages of ours lie exactly where they were planned, and no settled slot holds anything else. */
async function liesInItsSlots(
  { session, link, source }: LineageContext,
  { stream, last, signal }: Question,
): Promise<boolean> {
  const { name, firstSequence, lastSequence } = stream;
  const { incarnation } = last;
  const { since, end } = await logSpan(session, name, incarnation);
  const to = Math.min(lastSequence, end);
  const from = Math.max(firstSequence, to - EVIDENCE + 1, 1);
  const { slots } = placementOf(
    await batchesFrom(session, { stream: name, incarnation, sequence: from, since }),
  );
  let proven = false;
  for (const message of await readBack(link, { stream: name, from, to, signal })) {
    const slot = slots.get(message.sequence);
    if (message.kind === 'gone' || slot?.what !== 'event') continue;
    const isOurs = isOf(source, message) && message.position === slot.position;
    if (!isOurs && message.sequence <= (last.settledTo ?? 0)) return false;
    proven ||= isOurs;
  }
  return proven;
}

/** Without slots: a row's first sequence is a lower bound, and in a stream made anew ours begin far below it. */
async function liesBehindItsPlan(
  { session, link, source }: LineageContext,
  { stream, last, signal }: Question,
): Promise<boolean> {
  const { name, firstSequence, lastSequence } = stream;
  const first = Math.max(firstSequence, 1);
  const oldest = { stream: name, from: first, to: Math.min(lastSequence, first + EVIDENCE - 1), signal };
  const newest = { ...oldest, from: Math.max(oldest.to + 1, lastSequence - EVIDENCE + 1), to: lastSequence };
  const messages = [...(await readBack(link, oldest)), ...(await readBack(link, newest))];
  const lowest = new Map<number, number>();
  for (const message of messages)
    if (isOf(source, message) && message.position !== null && !lowest.has(message.position))
      lowest.set(message.position, message.sequence);
  const planned = await session.query({
    text: `with rows as materialized (
             select first_sequence, positions from postcommit.batches
              where stream = $1 and incarnation = $2
                and positions && (select range_agg(int8range(p, p, '[]')) from unnest($3::int8[]) p))
           select p, min(first_sequence) from unnest($3::int8[]) p join rows on positions @> p group by p`,
    values: [name, last.incarnation, [...lowest.keys()]],
  });
  return (
    planned.length > 0 &&
    planned.every(([position, from]) => (lowest.get(Number(position)) ?? 0) >= Number(from))
  );
}

function isOf(source: string, message: ReadBack): message is Extract<ReadBack, { kind: 'message' }> {
  return message.kind === 'message' && message.source === source;
}
