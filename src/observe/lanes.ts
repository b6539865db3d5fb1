import type { SystemView } from './system.ts';

/** How far a lane is, put together from its log and its stream. */
export interface LaneView {
  readonly stream: string;
  readonly ordering: string;
  /** Planned and not known to be stored; null: it cannot be seen. */
  readonly inFlight: number | null;
  readonly lastStoredAtMs: number | null;
  /** Positions at or below the last one read that may still be filled. */
  readonly gapsOpen: boolean;
}

export function lanesOf({ database, broker, pending }: SystemView): LaneView[] {
  if (database.kind !== 'seen') return [];
  const { lanes, writers } = database.value;
  const streams = broker.kind === 'seen' ? broker.value.streams : [];
  return lanes.map(({ stream, ordering, openFrom, readTo }) => {
    const seen = streams.find(({ name }) => name === stream);
    return {
      stream,
      ordering,
      inFlight: pending.kind === 'seen' ? (pending.value.inFlight[stream] ?? 0) : null,
      lastStoredAtMs: seen !== undefined && 'state' in seen ? (seen.state.lastAtMs ?? null) : null,
      // What nobody can fill any more was rolled back; the log only says so with its next row.
      gapsOpen: writers > 0 && openFrom <= readTo,
    };
  });
}

/** What is committed and not known to be stored. */
export interface Backlog {
  readonly events: number;
  /** False: there are many, and some of them are estimated. */
  readonly exact: boolean;
  /** Since the insert of the oldest one; null if there is none. */
  readonly oldestAgeMs: number | null;
}

/** Null: it cannot be seen. */
export function backlogOf({ database, pending }: SystemView): Backlog | null {
  if (database.kind !== 'seen' || pending.kind !== 'seen') return null;
  const { events, exact, oldestMs } = pending.value;
  const oldestAgeMs = oldestMs === null ? null : Math.max(0, database.value.nowMs - oldestMs);
  return { events, exact, oldestAgeMs };
}
