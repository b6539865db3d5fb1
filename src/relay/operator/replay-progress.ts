import { z } from 'zod';
import { lastRows } from '../../batch-log/recover.ts';
import type { Session } from '../../postgres/session.ts';
import { answerIfLeading } from '../../requests/requests.ts';
import type { OperatorContext } from './handling.ts';

/**
 * How far a replay is, in its request's row: a lane that pauses, or a new leader, goes on from there. Also what somebody
 * who looks on is shown.
 */
export interface Progress {
  /** Highest position that it may mean, as of its begin: it would have no end beside writers. */
  readonly end: number;
  /** Every event up to here is known to have somewhere to go, under its prefix. */
  readonly checked: number;
  /** Every lane has what was wished up to this position. */
  readonly above: number;
  /** Copies planned. */
  readonly replayed: number;
  /** Left out: the stream does not take them as they are. */
  readonly refused: number;
  /** Left out: no lane takes their subjects. */
  readonly misrouted: number;
  /** The lanes that have the portion behind it already, which ends at `to`: asked again, it may hold other events. */
  readonly done: readonly string[];
  readonly to: number | null;
  /** Of a replay with a rate: nothing is due before, in milliseconds of the Unix epoch on the database's clock. */
  readonly dueMs: number;
  /** The stream of a lane that is paused. */
  readonly waitsFor: string | null;
}

/** The database's clock, in milliseconds of the Unix epoch. How long its answer took is not known: so late it is at least, and at most. */
export interface DatabaseClock {
  atLeast(): number;
  atMost(): number;
}

export interface ReadProgress {
  readonly progress: Progress;
  readonly clock: DatabaseClock;
}

const count = z.int().nonnegative().default(0);

const writtenProgress = z.object({
  end: z.int().optional(),
  checked: count,
  above: count,
  replayed: count,
  refused: count,
  misrouted: count,
  done: z.array(z.string()).default([]),
  to: z.int().nullable().default(null),
  dueMs: z.number().default(0),
  waitsFor: z.string().nullable().default(null),
});

/** As it was written down, or as it begins. Undefined: it is over, somebody has cancelled it. */
export async function readProgress(session: Session, id: number): Promise<ReadProgress | undefined> {
  const sentAtMs = performance.now();
  const [row] = await session.query({
    name: 'postcommit_replay_progress',
    text: `select result::text, (date_part('epoch', clock_timestamp()) * 1000)::text
             from postcommit.requests where id = $1 and finished_at is null`,
    values: [id],
  });
  if (row === undefined) return undefined;
  const readAtMs = performance.now();
  // Whoever may ask may also write into this column: what is no progress is none.
  const written = writtenProgress.safeParse(JSON.parse(row[0] ?? '{}')).data ?? writtenProgress.parse({});
  const end = written.end ?? Math.max(0, ...(await lastRows(session)).map(({ readTo }) => readTo));
  return {
    progress: { ...written, end },
    clock: {
      atLeast: () => Number(row[1]) + performance.now() - readAtMs,
      atMost: () => Number(row[1]) + performance.now() - sentAtMs,
    },
  };
}

/** False: another epoch leads. */
export function noteProgress(
  { session, epoch }: OperatorContext,
  id: number,
  result: Progress,
): Promise<boolean> {
  return answerIfLeading(session, epoch, { id, result, finished: false });
}

/** What stays in the row once it is over. */
export function answerOf({ replayed, refused, misrouted }: Progress) {
  return { replayed, ...(refused > 0 ? { refused } : {}), ...(misrouted > 0 ? { misrouted } : {}) };
}
