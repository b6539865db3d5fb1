import type { Batch } from '../../src/batch-log/batch.ts';

/** Everything the chain model knows: the log, the lease's epoch, dead letters, the stream, the network and the leaders. */
export interface World {
  readonly log: readonly Batch[];
  readonly leaseEpoch: number;
  readonly letters: ReadonlyMap<number, LetterState>;
  /** The event that the broker refuses, until somebody mends the cause. */
  readonly poisoned: number | null;
  readonly stream: readonly Message[];
  /** Positions whose message id the duplicate table knows. */
  readonly ids: readonly number[];
  /** Packets of connections that nobody reads the answers of any more, in the order in which they were sent. */
  readonly orphans: readonly (readonly Packet[])[];
  /** Oldest epoch first. All but the newest are zombies. */
  readonly leaders: readonly Leader[];
  readonly budget: Budget;
  /** Other writers took part: the order of what they displaced is not promised. */
  readonly disturbed: boolean;
  readonly retried: readonly number[];
  readonly wrong: string | undefined;
}

export type LetterState = 'marking' | 'parked' | 'retrying' | 'resolved';

/** Position null: another writer's. */
export interface Message {
  readonly position: number | null;
  readonly marker: boolean;
}

export interface Packet {
  readonly sequence: number;
  readonly position: number;
  readonly marker: boolean;
  /** It carries a message id. */
  readonly id: boolean;
  /** Somebody waits for its answer. */
  readonly counts: boolean;
}

export type Cargo = Pick<Packet, 'position' | 'marker' | 'id'>;

export interface Leader {
  readonly epoch: number;
  readonly mode: 'doubt' | 'flow';
  /** It has compared log and stream before. */
  readonly known: { readonly settledTo: number | null; readonly decided: number } | undefined;
  /** What is planned behind `known.decided`, sent and not settled first. */
  readonly slots: readonly Cargo[];
  readonly settled: number;
  readonly last: Batch | undefined;
  readonly refusal: { readonly sequence: number; readonly position: number } | null;
  readonly writing: Writing | null;
  readonly fates: readonly (readonly [position: number, fate: LetterState])[];
  readonly line: readonly Packet[];
}

/** A statement that has seen the lease's epoch and is not committed. */
export interface Writing {
  readonly rows: readonly Batch[];
  readonly letters: readonly (readonly [position: number, state: LetterState])[];
  readonly cargo: readonly Cargo[];
  /** What is written down is what a comparison found: flow once it is. */
  readonly amends: { readonly settledTo: number | null; readonly decided: number } | null;
}

/** How often each fault may still happen. */
export interface Budget {
  readonly crashes: number;
  /** Takeovers while the predecessor still runs. */
  readonly zombies: number;
  readonly reconnects: number;
  readonly lostAcks: number;
  readonly foreign: number;
  readonly rewinds: number;
  readonly expiries: number;
  readonly repairs: number;
}

export const NO_FAULTS: Budget = {
  crashes: 0,
  zombies: 0,
  reconnects: 0,
  lostAcks: 0,
  foreign: 0,
  rewinds: 0,
  expiries: 0,
  repairs: 0,
};

export function spend(world: World, fault: keyof Budget): World {
  return { ...world, budget: { ...world.budget, [fault]: world.budget[fault] - 1 } };
}

/** The last sequence filled or planned by this leader. */
export function endOf({ known, slots }: Leader): number {
  return (known?.decided ?? 0) + slots.length;
}

export function settledToOf({ known, settled }: Leader): number | null {
  return known !== undefined && settled > 0 ? known.decided + settled : (known?.settledTo ?? null);
}

export function withLeader(world: World, changed: Leader): World {
  return {
    ...world,
    leaders: world.leaders.map((one) => (one.epoch === changed.epoch ? changed : one)),
  };
}

/** Its process is gone, or it has stepped down; what it sent may still be under way. */
export function withoutLeader(world: World, gone: Leader): World {
  return {
    ...world,
    leaders: world.leaders.filter(({ epoch }) => epoch !== gone.epoch),
    orphans: [...world.orphans, gone.line],
  };
}
