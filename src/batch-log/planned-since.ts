import type { Session } from '../postgres/session.ts';
import { lastRows } from './recover.ts';

/** So close is close enough. */
const STRIDE = 64;

/** So far may the clocks of two primaries be apart. */
const CLOCKS_APART = "interval '10 minutes'";

/**
 * A position below all planned events that were inserted at or after a moment: an event is planned after it was inserted,
 * so what was planned before is older. Spares reading an outbox of many millions from its beginning.
 */
export async function positionBefore(session: Session, moment: string): Promise<number> {
  const newest = await lastRows(session);
  const starts: number[] = [];
  for (const { stream, batch } of newest) {
    // A stream for which nothing was planned since has none of them.
    if ((await openFromIfOlder(session, { stream, batch, moment })) === undefined)
      starts.push(await openFromBefore(session, { stream, batch, moment }));
  }
  const lowest = Math.min(...(starts.length > 0 ? starts : newest.map(({ openFrom }) => openFrom)));
  return Number.isFinite(lowest) ? lowest - 1 : 0;
}

interface Place {
  readonly stream: string;
  readonly batch: number;
  readonly moment: string;
}

/** What all lanes had read when a row was planned for certain before the moment. Plans rise with time, so the log is halved. */
async function openFromBefore(session: Session, { stream, batch, moment }: Place): Promise<number> {
  let [low, high, openFrom] = [0, batch, 1];
  while (high - low > STRIDE) {
    const middle = Math.floor((low + high) / 2);
    const older = await openFromIfOlder(session, { stream, batch: middle, moment });
    if (older === undefined) high = middle;
    else [low, openFrom] = [middle, older];
  }
  return openFrom;
}

/** The `open_from` of the newest row up to this batch, 1 if there is none; undefined if it may be as young as the moment. */
async function openFromIfOlder(
  session: Session,
  { stream, batch, moment }: Place,
): Promise<number | undefined> {
  const [row] = await session.query({
    name: 'postcommit_planned_before',
    text: `select (planned_at < $3::timestamptz - ${CLOCKS_APART})::text, open_from from postcommit.batches
            where stream = $1 and batch <= $2 order by batch desc limit 1`,
    values: [stream, batch, moment],
  });
  if (row === undefined) return 1;
  return row[0] === 'true' ? Number(row[1]) : undefined;
}
