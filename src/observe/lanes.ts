import type { LaneProgress } from '../batch-log/activity.ts';
import type { BrokerView, DatabaseView, SystemView } from './system.ts';

/** How far a lane is, put together from its log and its stream. */
export interface LaneView {
  readonly stream: string;
  readonly ordering: string;
  /** The last sequence that is planned. */
  readonly plannedTo: number;
  /** Planned and not stored; null where only the relay knows (not in `stream` ordering, or NATS cannot be seen). */
  readonly inFlight: number | null;
  readonly lastStoredAtMs: number | null;
  readonly lastPlannedAtMs: number;
  /** Positions at or below the last one read that are still awaited. */
  readonly gapsOpen: boolean;
}

export function lanesOf({ database, broker }: SystemView): LaneView[] {
  if (database.kind !== 'seen') return [];
  const streams = broker.kind === 'seen' ? broker.value.streams : [];
  const { lanes, writers } = database.value;
  return lanes.map((lane) => laneOf(lane, { streams, writers }));
}

function laneOf(
  lane: LaneProgress,
  { streams, writers }: { streams: BrokerView['streams']; writers: number },
): LaneView {
  const seen = streams.find(({ name }) => name === lane.stream);
  const state = seen !== undefined && 'state' in seen ? seen.state : undefined;
  const inFlight =
    lane.ordering !== 'stream' || state === undefined || state.created !== lane.incarnation
      ? null
      : Math.max(0, lane.lastSequence - state.lastSequence);
  return {
    stream: lane.stream,
    ordering: lane.ordering,
    plannedTo: lane.lastSequence,
    inFlight,
    lastStoredAtMs: state?.lastAtMs ?? null,
    lastPlannedAtMs: lane.plannedAtMs,
    // What nobody can fill any more was rolled back; the log only says so with its next row.
    gapsOpen: writers > 0 && lane.openFrom <= lane.readTo,
  };
}

/** What is committed and not known to be stored. */
export interface Backlog {
  readonly events: number;
  /** False: there are many, and those that rolled back are counted, too. */
  readonly exact: boolean;
  /** Of the oldest one; of what is planned and not stored, since the last plan. Null if there is none. */
  readonly oldestAgeMs: number | null;
}

export function backlogOf({ unread, nowMs }: DatabaseView, lanes: readonly LaneView[]): Backlog {
  const inFlight = lanes.reduce((sum, lane) => sum + (lane.inFlight ?? 0), 0);
  const since = lanes.filter((lane) => (lane.inFlight ?? 0) > 0).map((lane) => lane.lastPlannedAtMs);
  if (unread.oldestMs !== null) since.push(unread.oldestMs);
  return {
    events: unread.events + inFlight,
    exact: unread.exact,
    oldestAgeMs: since.length === 0 ? null : Math.max(0, nowMs - Math.min(...since)),
  };
}
