import type { Batch } from '../../batch-log/batch.ts';
import type { NewLetter } from '../../dead-letters/letter.ts';
import type { StoredEvent } from '../../event.ts';
import type { BrokerLink, CloudEventHeaders, StreamState } from '../../jetstream/index.ts';
import type { Session } from '../../postgres/session.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { LaneOptions } from '../options.ts';
import type { Cargo } from './cargo.ts';
import type { Gate } from './gate.ts';
import type { LaneLetters } from './lane-letters.ts';
import type { LaneLog } from './lane-log.ts';
import type { LaneMeter } from './lane-meter.ts';
import type { Pause } from './lane-state.ts';

/** How a lane puts planned events on its stream: by slots in `stream` ordering, by message ids in the others. */
export interface Outlet {
  readonly gate: Gate;
  readonly pending: number;
  readonly pendingBytes: number;
  /** Sent and not answered yet. */
  readonly inFlight: number;
  readonly oldest: StoredEvent | undefined;
  readonly settledTo: number | null;
  readonly settledBatch: number | null;
  /** First and last sequence of a row with so many events, behind `before` others that are drafted with it. */
  bounds(count: number, before?: number): { readonly first: number; readonly last: number };
  /** Sends what a committed row has planned. */
  send(cargo: readonly Cargo[], row: Batch): void;
  /** `feed()` has something to do. */
  readonly hungry: boolean;
  /** Work on the database that sending has left: content of events to repeat, events to bury. */
  feed(): Promise<'fed' | 'fenced'>;
  /** More is planned than was handed over yet: nothing new may be planned before it. */
  readonly behind: number;
  /** Compares the log with the stream and opens the gate, or pauses. */
  compare(comparison: Comparison): Promise<'flowing' | 'waiting' | 'fenced'>;
  /** What belongs at the stream's end, as far as this leadership knows; undefined where others write, too. */
  readonly expectedEnd: number | undefined;
  close(): void;
}

export interface Comparison {
  /** As it is now, and fit. */
  readonly stream: StreamState;
  /** The newest row of the log, which speaks of this incarnation; undefined if nothing was ever planned. */
  readonly last: Batch | undefined;
  /** What the stream lost and the outbox no longer holds is given up. */
  readonly giveUp: boolean;
  readonly signal: AbortSignal;
}

export interface OutletContext {
  readonly options: LaneOptions;
  /** Shared by all lanes: one statement is one transaction on it. */
  readonly session: Session;
  readonly link: BrokerLink;
  readonly source: string;
  /** Undefined where messages are no CloudEvents. */
  readonly cloudEvents: CloudEventHeaders | undefined;
  readonly epoch: number;
  /** Another lane takes this subject by now. */
  readonly isElsewhere: (subject: string) => boolean;
  /** Events were handed over to other lanes. */
  readonly onMoved: () => void;
  /** These events turned out to be stored although nothing planned them. */
  readonly onStoredBefore: (positions: readonly number[]) => void;
  readonly logger: Logger;
  readonly log: LaneLog;
  readonly letters: LaneLetters;
  readonly meter: LaneMeter;
  /** Something changed that somebody may wait for. */
  readonly changed: () => void;
  /** The gate closed, or may be opened sooner than it asked for. */
  readonly wake: () => void;
}

/** An event that was planned for a stream which does not take its subject any more, while another lane does: it goes there. */
export function movedLetter({ letters, options }: OutletContext, event: StoredEvent): NewLetter {
  return letters.letterFor(event, {
    state: 'parked',
    outcome: 'moved',
    reason: `it was planned for stream '${options.stream}', which does not take its subject any more; it goes to the lane that does`,
  });
}

/** Why a lane stops at a loss that it cannot heal. */
export function outlived(position: number | undefined, stream: string): Pause {
  const first = position ? `, the first of them at position ${position}` : ' and the log no longer knows';
  return {
    outcome: 'refused',
    reason: `stream '${stream}' lost events that the outbox no longer holds${first}: the loss is older than the retention. Restore the stream, or give those events up: postcommit adopt --stream ${stream}`,
  };
}

/** Where markers go: the lane's first subject (the stream's, where the lane has none), its wildcards replaced. */
export function markerSubjectOf(subjects: readonly string[], stream: StreamState | undefined): string {
  const [subject = '_postcommit'] = subjects.length > 0 ? subjects : (stream?.subjects ?? []);
  return subject
    .split('.')
    .map((token) => (token === '*' || token === '>' ? '_postcommit' : token))
    .join('.');
}
