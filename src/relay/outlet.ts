import type { Batch } from '../batch-log/batch.ts';
import type { StoredEvent } from '../event.ts';
import type { BrokerLink, StreamState } from '../jetstream/index.ts';
import type { Session } from '../postgres/session.ts';
import type { Cargo } from './cargo.ts';
import type { Gate } from './gate.ts';
import type { LaneLetters } from './lane-letters.ts';
import type { LaneLog } from './lane-log.ts';
import type { LaneMeter } from './lane-meter.ts';
import type { LaneOptions } from './options.ts';

/** How a lane puts planned events on its stream: by slots in `stream` ordering, by message ids in the others. */
export interface Outlet {
  readonly gate: Gate;
  readonly pending: number;
  readonly pendingBytes: number;
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
  readonly epoch: number;
  readonly log: LaneLog;
  readonly letters: LaneLetters;
  readonly meter: LaneMeter;
  /** Something changed that somebody may wait for. */
  readonly changed: () => void;
  /** The gate closed, or may be opened sooner than it asked for. */
  readonly wake: () => void;
}

/** Where markers go: the lane's first subject, its wildcards replaced. */
export function markerSubjectOf([subject = '_postcommit']: readonly string[]): string {
  return subject
    .split('.')
    .map((token) => (token === '*' || token === '>' ? '_postcommit' : token))
    .join('.');
}
