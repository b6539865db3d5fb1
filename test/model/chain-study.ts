import { ALL_GUARDS, type ChainBounds, type ChainGuards, chainModel } from './chain.ts';
import { type Budget, NO_FAULTS } from './chain-world.ts';
import type { Study } from './study.ts';

const bounds = (events: number, budget: Partial<Budget>, more: Partial<ChainBounds> = {}): ChainBounds => ({
  events,
  batch: 2,
  poisoned: null,
  tableOutlives: false,
  restarts: true,
  phantomIds: false,
  ...more,
  budget: { ...NO_FAULTS, ...budget },
});

const holding = (name: string, of: ChainBounds, options: { quick?: boolean; maxStates?: number } = {}) => ({
  name,
  model: () => chainModel(of),
  maxStates: options.maxStates ?? 300_000,
  quick: options.quick ?? true,
});

export const chainStudy: Study = {
  name: 'chain',
  about: 'what is planned is stored once, in order, at its slot, or accounted for',
  runs: [
    holding('crash', bounds(3, { crashes: 1 })),
    holding('zombie', bounds(3, { zombies: 1 })),
    holding('lost answers', bounds(3, { lostAcks: 2 })),
    holding('old packets', bounds(3, { reconnects: 2 })),
    holding('foreign writer, crash', bounds(2, { foreign: 1, crashes: 1 })),
    holding('lost tail, crash', bounds(2, { rewinds: 1, crashes: 1 })),
    holding('refused event, crash, repair', bounds(2, { crashes: 1, repairs: 1 }, { poisoned: 1 })),
    holding('refused event, old packets, repair', bounds(3, { reconnects: 1, repairs: 1 }, { poisoned: 2 })),
    holding('refused event, zombie, repair', bounds(3, { zombies: 1, repairs: 1 }, { poisoned: 2 })),
    holding('refused event, lost tail, repair', bounds(3, { rewinds: 1, repairs: 1 }, { poisoned: 2 })),
    holding('lost tail, old packets', bounds(3, { rewinds: 1, reconnects: 1 })),
    holding('lost tail, zombie', bounds(2, { rewinds: 1, zombies: 1 })),
    holding('foreign writer, zombie', bounds(3, { foreign: 1, zombies: 1 })),
    holding('foreign writer, lost tail', bounds(3, { foreign: 1, rewinds: 1 })),
    holding('foreign, lost tail, zombie', bounds(2, { foreign: 1, rewinds: 1, zombies: 1 })),
    holding('phantom ids, foreign', bounds(3, { foreign: 1, reconnects: 1 }, { phantomIds: true })),
    holding('lost tail, table outlives', bounds(3, { rewinds: 1, crashes: 1 }, { tableOutlives: true })),
    holding(
      'refused, lost tail, zombie, repair',
      bounds(2, { rewinds: 1, zombies: 1, repairs: 1 }, { poisoned: 1 }),
    ),
    holding(
      'refused, lost tail, reconnect, repair',
      bounds(2, { rewinds: 1, reconnects: 1, repairs: 1 }, { poisoned: 1 }),
    ),
    holding(
      'refused, foreign, reconnect, repair',
      bounds(2, { foreign: 1, reconnects: 1, repairs: 1 }, { poisoned: 1 }),
    ),
  ],
  mutants: [],
};

export const without = (removed: Partial<Record<keyof ChainGuards, false>>, of: ChainBounds) => () =>
  chainModel(of, { ...ALL_GUARDS, ...removed });
