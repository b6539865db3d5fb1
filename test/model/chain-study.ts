import { ALL_GUARDS, type ChainBounds, type ChainGuards, chainModel } from './chain.ts';
import { type Budget, NO_FAULTS } from './chain-world.ts';
import type { Mutant, Run, Study } from './study.ts';

const bounds = (events: number, budget: Partial<Budget>, more: Partial<ChainBounds> = {}): ChainBounds => ({
  events,
  batch: 2,
  poisoned: null,
  tableOutlives: false,
  restarts: true,
  sharedId: false,
  phantomIds: false,
  ...more,
  budget: { ...NO_FAULTS, ...budget },
});

const holding = (
  name: string,
  of: ChainBounds,
  options: { quick?: boolean; maxStates?: number } = {},
): Run => ({
  name,
  model: () => chainModel(of),
  maxStates: options.maxStates ?? 300_000,
  quick: options.quick ?? true,
});

type Removed = Partial<Record<keyof ChainGuards, false>>;

interface Without {
  readonly where: string;
  readonly removed: Removed;
  readonly of: ChainBounds;
  readonly expect?: 'refuted' | 'redundant';
  readonly maxStates?: number;
}

const without = (name: string, { where, removed, of, expect = 'refuted', maxStates }: Without): Mutant => ({
  name,
  where,
  model: () => chainModel(of, { ...ALL_GUARDS, ...removed }),
  intact: () => chainModel(of),
  maxStates: maxStates ?? 300_000,
  expect,
});

const ZOMBIE = bounds(2, { zombies: 1 });
const POISON = bounds(2, { reconnects: 1, repairs: 1 }, { poisoned: 1 });
const TWO_FOREIGN = bounds(2, { foreign: 2, rewinds: 1 });
const FOREIGN_CRASH = bounds(2, { foreign: 1, crashes: 1 });

export const chainStudy: Study = {
  name: 'chain',
  about: 'what is planned is stored once, in order, at its slot, or accounted for',
  runs: [
    holding('crash', bounds(3, { crashes: 1 })),
    holding('zombie', bounds(3, { zombies: 1 })),
    holding('lost answers', bounds(3, { lostAcks: 2 })),
    holding('old packets', bounds(3, { reconnects: 2 })),
    holding('old packets, duplicate window over', bounds(3, { reconnects: 1, crashes: 1, expiries: 1 })),
    holding('foreign writer, crash', bounds(3, { foreign: 1, crashes: 1 })),
    holding(
      'foreign writer, old packets, phantom ids',
      bounds(3, { foreign: 1, reconnects: 1 }, { phantomIds: true }),
    ),
    holding('a writer repeats an event id, foreign writer', bounds(3, { foreign: 1 }, { sharedId: true })),
    holding('foreign writer, zombie', bounds(2, { foreign: 1, zombies: 1 })),
    holding('lost tail, crash', bounds(3, { rewinds: 1, crashes: 1 })),
    holding(
      'lost tail, crash, table outlives it',
      bounds(3, { rewinds: 1, crashes: 1 }, { tableOutlives: true }),
    ),
    holding(
      'lost tail, old packets, nobody is told',
      bounds(3, { rewinds: 1, reconnects: 1 }, { restarts: false }),
    ),
    holding('lost tail, zombie, nobody is told', bounds(2, { rewinds: 1, zombies: 1 }, { restarts: false })),
    holding('lost tail, foreign writer', bounds(3, { foreign: 1, rewinds: 1 })),
    holding('lost tail, foreign writer twice', TWO_FOREIGN),
    holding('refused event, crash, repair', bounds(3, { crashes: 1, repairs: 1 }, { poisoned: 2 })),
    holding('refused event, old packets, repair', bounds(3, { reconnects: 1, repairs: 1 }, { poisoned: 2 })),
    holding('refused event, zombie, repair', bounds(2, { zombies: 1, repairs: 1 }, { poisoned: 1 })),
    holding('refused event, lost tail, repair', bounds(3, { rewinds: 1, repairs: 1 }, { poisoned: 2 })),
    holding(
      'refused event, lost tail, old packets, repair',
      bounds(2, { rewinds: 1, reconnects: 1, repairs: 1 }, { poisoned: 1 }),
    ),
    holding(
      'refused event, foreign writer, old packets, repair',
      bounds(2, { foreign: 1, reconnects: 1, repairs: 1 }, { poisoned: 1 }),
    ),
    holding('foreign writer, zombie, three events', bounds(3, { foreign: 1, zombies: 1 }), { quick: false }),
    holding(
      'refused event, zombie, repair, three events',
      bounds(3, { zombies: 1, repairs: 1 }, { poisoned: 2 }),
      {
        quick: false,
      },
    ),
    holding(
      'everything but a lost tail',
      bounds(2, { crashes: 1, reconnects: 1, lostAcks: 1, foreign: 1, repairs: 1 }, { poisoned: 1 }),
      {
        quick: false,
        maxStates: 250_000,
      },
    ),
    holding(
      'four events, crash, lost answer, old packets',
      bounds(4, { crashes: 1, lostAcks: 1, reconnects: 1 }),
      {
        quick: false,
        maxStates: 250_000,
      },
    ),
  ],
  mutants: [
    without('no write-ahead', {
      where: 'plan-look.ts (L1)',
      removed: { writeAhead: false },
      of: bounds(1, {}),
    }),
    without('primary key alone', {
      where: 'plan.ts, 23505',
      removed: { primaryKey: false },
      of: bounds(3, { zombies: 1 }),
      expect: 'redundant',
    }),
    without('epoch predicate alone', {
      where: 'plan.ts, insertOne',
      removed: { epoch: false },
      of: bounds(3, { zombies: 1 }),
      expect: 'redundant',
    }),
    without('fence of the log alone', {
      where: 'lease.ts, fenceLog',
      removed: { fence: false },
      of: bounds(3, { zombies: 1 }),
      expect: 'redundant',
    }),
    without('epoch predicate and fence', {
      where: 'plan.ts, lease.ts',
      removed: { epoch: false, fence: false },
      of: bounds(3, { zombies: 1 }),
      expect: 'redundant',
    }),
    without('primary key and fence', {
      where: 'plan.ts, lease.ts',
      removed: { primaryKey: false, fence: false },
      of: bounds(2, { zombies: 1, foreign: 1 }),
    }),
    without('primary key and epoch predicate', {
      where: 'plan.ts',
      removed: { primaryKey: false, epoch: false },
      of: ZOMBIE,
    }),
    without('primary key, epoch predicate and fence', {
      where: 'plan.ts, lease.ts',
      removed: { primaryKey: false, epoch: false, fence: false },
      of: ZOMBIE,
    }),
    without('a plan shortened instead of a marker', {
      where: 'burial.ts',
      removed: { marker: false },
      of: bounds(3, { reconnects: 1 }, { poisoned: 2 }),
    }),
    without('marker sent before its row', {
      where: 'amendments.ts, rowsOf',
      removed: { markerRowFirst: false },
      of: bounds(2, { crashes: 1, repairs: 1 }, { poisoned: 1 }),
    }),
    without('event parked before its marker is stored', {
      where: 'lane-letters.ts, settled',
      removed: { parkedAfterMarker: false },
      of: POISON,
    }),
    without('what a marker row names is forgotten in recovery', {
      where: 'amendments.ts, judgeLetters',
      removed: { marksRecovered: false },
      of: bounds(2, { crashes: 1 }, { poisoned: 1 }),
    }),
    without('a retry planned while something is in flight', {
      where: 'drafter.ts, triageRepeat',
      removed: { retryWaits: false },
      of: bounds(3, { reconnects: 1, repairs: 1 }, { poisoned: 1 }),
      expect: 'redundant',
    }),
    without('no read-back after a crash', {
      where: 'reconcile.ts, inspect',
      removed: { readBack: false },
      of: FOREIGN_CRASH,
    }),
    without('no expected sequence', {
      where: 'headers.ts, chain.ts (L2)',
      removed: { expectation: false },
      of: bounds(2, { crashes: 1, expiries: 1 }),
    }),
    without('acknowledgements counted at any sequence', {
      where: 'chain.ts, onStored (L3)',
      removed: { sequenceCounts: false },
      of: bounds(3, { foreign: 1, reconnects: 1 }),
      expect: 'redundant',
    }),
    without('no expected sequence, acknowledgements counted anywhere', {
      where: 'chain.ts',
      removed: { expectation: false, sequenceCounts: false },
      of: bounds(2, { crashes: 1 }),
    }),
    without('duplicate acknowledgements trusted', {
      where: 'outcome.ts, chain.ts, onFailure (L3)',
      removed: { duplicatesDoubted: false },
      of: bounds(3, { foreign: 1 }, { sharedId: true }),
    }),
    without('healing with message ids, the duplicate table outlived the tail', {
      where: 'cargo.ts, repeated',
      removed: { healsWithoutId: false },
      of: bounds(2, { rewinds: 1 }, { tableOutlives: true }),
    }),
    without('an idle leader that does not look at the stream', {
      where: 'create-lane.ts, probe',
      removed: { probes: false },
      of: bounds(2, { rewinds: 1 }, { restarts: false }),
    }),
    without('a setback that the log does not say', {
      where: 'amendments.ts, amend',
      removed: { setbackLogged: false },
      of: bounds(3, { foreign: 1, rewinds: 1 }),
    }),
    without('a reconnect during a comparison is forgotten', {
      where: 'gate.ts, open (L4)',
      removed: { reconnectsNoticed: false },
      of: TWO_FOREIGN,
    }),
  ],
  limits: [
    holding(
      'lost tail that nobody is told of, refilled to its length by another writer',
      bounds(2, { foreign: 1, rewinds: 1 }, { restarts: false }),
    ),
    holding('lost tail, foreign writer and a zombie', bounds(2, { foreign: 1, rewinds: 1, zombies: 1 })),
    holding(
      'lost tail that nobody is told of, a refused and mended event and its old packet',
      bounds(1, { crashes: 1, rewinds: 1, repairs: 1 }, { poisoned: 1, restarts: false }),
    ),
    holding(
      'lost tail, a refused and mended event and a zombie',
      bounds(2, { rewinds: 1, zombies: 1, repairs: 1 }, { poisoned: 1 }),
    ),
  ],
};
