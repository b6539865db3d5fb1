import type { Batch } from '../../batch-log/batch.ts';
import type { PlanOutcome, Retried } from '../../batch-log/plan.ts';
import type { NewLetter } from '../../dead-letters/letter.ts';
import type { StoredEvent } from '../../event.ts';
import type { BrokerLink, CloudEventHeaders } from '../../jetstream/index.ts';
import type { Session } from '../../postgres/session.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { LaneOptions } from '../options.ts';
import type { LaneMeter } from './lane-meter.ts';
import type { LaneState, Pause } from './lane-state.ts';

/**
 * One stream: what a look brought is planned in the batch log, then published, then settled by its acknowledgements;
 * in doubt the stream is read back and compared with the log.
 *   L1  Nothing is published before its batch row is committed.
 * (L2 and L3 are the chain's, L4 is the gate's.)
 */
export interface Lane {
  readonly stream: string;
  readonly state: LaneState;
  /** Why nothing gets through; undefined when something does, or when that is not known. */
  readonly obstacle: Pause | undefined;
  /** Planned and not settled. */
  readonly pending: number;
  /** Sent and not answered yet. */
  readonly inFlight: number;
  readonly settled: Settled;
  readonly oldest: StoredEvent | undefined;
  /** It publishes, and little enough is in flight to plan more. */
  readonly ready: boolean;
  /** Waits until a condition on this lane holds, or the signal aborts. */
  until(condition: () => boolean, signal: AbortSignal): Promise<void>;
  /**
   * What is to be written for these events, and sent once it is. `nothing` to write. `refused`: the lane has paused, the
   * look must not be accepted. A draft has to be committed or the leadership ends.
   */
  draft(intake: Intake): Draft | 'nothing' | 'refused';
  /**
   * Asks for a row of older events, behind everything planned. Resolves when it is written, or with why it is not:
   * `later` while the lane is paused, `abandoned` at the end of the leadership.
   */
  repeat(request: Repeat): Promise<Repeated>;
  /** Keeps the lane publishing until the signal aborts: leaves doubt and pauses, writes down what became of dead letters. */
  tend(signal: AbortSignal): Promise<'stopped' | 'fenced'>;
  /** With nothing in flight: is the stream's last sequence what it should be? If not, the lane is in doubt. */
  probe(): Promise<void>;
  /** Before a clean end, with nothing in flight: says in the log that all is settled, where no slots say it. */
  rest(): Promise<PlanOutcome>;
  /** The stream was recreated or restored: go on with it, unless that has not come about when the signal aborts. */
  adopt(mode: Adoption, signal: AbortSignal): Promise<Adopted>;
  /** Dead letters wait behind a head that is dead no more: they are due to be retried. */
  readonly stranded: boolean;
  /** Forgets dead letters that an operator discarded. */
  discarded(positions: readonly number[]): void;
  /** Of a stream that is no lane any more: all that was planned for it is settled. */
  readonly ended: boolean;
  close(): void;
}

/** What of a lane's plans is known to be stored. */
export interface Settled {
  readonly stream: string;
  /** Highest sequence known to hold our message; null before the first. */
  readonly settledTo: number | null;
  /** Every batch up to this number is settled; null in `stream` ordering, where slots say it. */
  readonly settledBatch: number | null;
}

/** What one look brings a lane. */
export interface Intake {
  /** In position order. */
  readonly events: readonly StoredEvent[];
  /** Events that no lane takes; only the first lane gets them. */
  readonly misrouted: readonly StoredEvent[];
  readonly readTo: number;
  readonly openFrom: number;
  /** Write a row even if there is nothing to plan: how far reading got has to be known. */
  readonly checkpoint: boolean;
}

export interface Draft {
  readonly rows: readonly Batch[];
  readonly letters: readonly NewLetter[];
  readonly retried: readonly Retried[];
  /** The rows are committed (L1): send. */
  commit(): void;
}

export type Repeated = 'planned' | 'later' | 'abandoned';

export type Repeat =
  | {
      readonly kind: 'retry';
      /** In position order. */
      readonly events: readonly StoredEvent[];
    }
  | Replay;

/** Copies of events that were published before. */
export interface Replay {
  readonly kind: 'replay';
  /** In position order, as the outbox has them. */
  readonly events: readonly StoredEvent[];
  /** They go to `<prefix>.<subject>`; null: to the subject itself. */
  readonly prefix: string | null;
  /** Told once the row is written: the stream does not take so many of them as they are, and the row leaves them out. */
  readonly onRefused: (count: number) => void;
}

/** `continue`: what was stored before counts as published. `republish`: everything the outbox still holds goes again. */
export type Adoption = 'continue' | 'republish';

export type Adopted =
  | { readonly kind: 'adopted'; readonly incarnation: string; readonly republished: number }
  | { readonly kind: 'refused'; readonly reason: string };

export interface LaneContext {
  readonly options: LaneOptions;
  /** Shared by all lanes: one statement is one transaction on it. */
  readonly session: Session;
  readonly link: BrokerLink;
  readonly epoch: number;
  readonly source: string;
  /** Undefined where messages are no CloudEvents. */
  readonly cloudEvents: CloudEventHeaders | undefined;
  readonly provision: boolean;
  readonly maxDeadLetters: number;
  /** Another lane takes this subject. */
  readonly isElsewhere: (subject: string) => boolean;
  /** Events were handed over to other lanes. */
  readonly onMoved: () => void;
  /** The stream is no lane any more: what was planned for it is brought to an end, and nothing more. */
  readonly closing: boolean;
  readonly meter: LaneMeter;
  readonly logger: Logger;
  /** Something of the lane changed that the readers may be waiting for. */
  readonly wake: () => void;
}

/** As much has to be read back after a crash. */
export const MAX_PENDING = 2_048;
export const MAX_PENDING_BYTES = 16 * 1024 * 1024;
/** Reading is this far ahead of a lane's newest row: an empty one saves a later start from reading it all again. */
export const CHECKPOINT_AFTER = 10_000;
