import type { Random } from '../../../src/demo/random.ts';
import { POINTS, type PointName } from './points.ts';

/** Everything the seed decides about a run of the whole system. */
export interface Plan {
  readonly ordering: 'stream' | 'key';
  readonly deadLetters: 'skip' | 'hold';
  /** Short: segments are emptied and the log is pruned during the run, and the log cannot be audited afterwards. */
  readonly retention: 'short' | 'long';
  /** Servers of NATS: 1, or a cluster of 3 with as many replicas. */
  readonly brokers: 1 | 3;
  readonly duplicateWindowMs: number;
  readonly faults: readonly PlannedFault[];
}

export interface PlannedFault {
  /** After the end of the fault before it, in milliseconds. */
  readonly pauseMs: number;
  /** How long what lasts is to last, in milliseconds. */
  readonly lastsMs: number;
  readonly fault: Fault;
}

/** What can happen to whom. Each has its hand in `faults.ts`. */
export type Fault =
  | { readonly kind: 'kill-at-point'; readonly point: PointName; readonly both: boolean }
  | { readonly kind: 'freeze-leader'; readonly leases: number }
  | { readonly kind: 'block-leader' }
  | { readonly kind: 'stop-leader' }
  | { readonly kind: 'network'; readonly link: Link; readonly damage: Damage }
  | { readonly kind: 'cut-before-ack'; readonly publishes: number }
  | { readonly kind: 'crash-postgres' }
  | { readonly kind: 'postgres-down' }
  | { readonly kind: 'end-sessions'; readonly whose: 'relay' | 'everybody' }
  | { readonly kind: 'forged-notifications' }
  | { readonly kind: 'crash-nats' }
  | { readonly kind: 'freeze-nats' }
  | { readonly kind: 'lose-tail' }
  | { readonly kind: 'step-down' }
  | { readonly kind: 'lose-majority' }
  | { readonly kind: 'lower-limit' }
  | { readonly kind: 'fill-stream' }
  | { readonly kind: 'foreign-writer' }
  | { readonly kind: 'kill-consumer' }
  | { readonly kind: 'freeze-consumer' }
  | { readonly kind: 'kill-writers' };

export type Link =
  | 'relay-postgres'
  | 'relay-nats'
  | 'consumer-postgres'
  | 'consumer-nats'
  | 'writers-postgres';
export type Damage = 'cut' | 'delay' | 'black-hole' | 'one-way' | 'half-open' | 'split' | 'refuse';

const DAMAGES: readonly [Damage, ...Damage[]] = [
  'cut',
  'delay',
  'black-hole',
  'one-way',
  'half-open',
  'split',
  'refuse',
];
const LINKS: readonly [Link, ...Link[]] = [
  'relay-postgres',
  'relay-nats',
  'consumer-postgres',
  'consumer-nats',
  'writers-postgres',
];
const POINT_NAMES = Object.keys(POINTS) as [PointName, ...PointName[]];
/** Faults whose length is their own take about this long. */
const ONE_FAULT_MS = 2_600;
/** A quarter of the time nothing is done: what only shows in quiet must have time to show. */
const QUIET = 0.25;

/** The same seed always makes the same plan. */
export function createPlan(random: Random, { seconds }: { seconds: number }): Plan {
  const brokers = random.fork('brokers').chance(0.25) ? 3 : 1;
  const ordering = random.fork('ordering').chance(0.75) ? 'stream' : 'key';
  return {
    ordering,
    deadLetters: random.fork('dead letters').pick(['skip', 'hold']),
    retention: random.fork('retention').pick(['short', 'long']),
    brokers,
    // In `key` ordering ids are all there is against repeats. A relay is frozen for up to six seconds, and what it wakes
    // up with may be repeated inside this window only.
    duplicateWindowMs: random.fork('window').pick([8_000, 120_000]),
    faults: planFaults(random.fork('faults'), { seconds, kinds: kindsFor(brokers) }),
  };
}

function planFaults(
  random: Random,
  { seconds, kinds }: { seconds: number; kinds: readonly Fault['kind'][] },
): PlannedFault[] {
  const count = Math.max(1, Math.round((seconds * 1_000) / ONE_FAULT_MS));
  let bag: Fault['kind'][] = [];
  return Array.from({ length: count }, () => {
    // Each kind once before any comes twice.
    if (bag.length === 0) bag = shuffle(random, kinds);
    return {
      pauseMs: random.chance(QUIET) ? random.between(1_500, 3_000) : random.between(50, 900),
      lastsMs: random.between(300, 2_500),
      fault: detail(random, bag.pop() ?? 'crash-nats'),
    };
  });
}

/** Kinds that come several times in a bag are where most has been found. */
function kindsFor(brokers: 1 | 3): Fault['kind'][] {
  return [
    'kill-at-point',
    'kill-at-point',
    'kill-at-point',
    'kill-at-point',
    'network',
    'network',
    'network',
    'freeze-leader',
    'block-leader',
    'stop-leader',
    'cut-before-ack',
    'cut-before-ack',
    'crash-postgres',
    'crash-postgres',
    'postgres-down',
    'end-sessions',
    'forged-notifications',
    'crash-nats',
    'freeze-nats',
    'lower-limit',
    'foreign-writer',
    'kill-consumer',
    'freeze-consumer',
    'kill-writers',
    // A cluster of 2.9 and 2.10 applies a limit that is no more when a server comes back: one replica then lacks the first
    // messages, or holds refused ones.
    ...(brokers === 1
      ? (['lose-tail', 'fill-stream'] as const)
      : (['step-down', 'step-down', 'lose-majority'] as const)),
  ];
}

function detail(random: Random, kind: Fault['kind']): Fault {
  switch (kind) {
    case 'kill-at-point':
      return { kind, point: random.pick(POINT_NAMES), both: random.chance(0.2) };
    case 'freeze-leader':
      return { kind, leases: random.pick([1, 2, 3]) };
    case 'network':
      return { kind, link: random.pick(LINKS), damage: random.pick(DAMAGES) };
    case 'cut-before-ack':
      return { kind, publishes: random.between(1, 60) };
    case 'end-sessions':
      return { kind, whose: random.pick(['relay', 'everybody']) };
    default:
      return { kind };
  }
}

function shuffle<T>(random: Random, things: readonly T[]): T[] {
  const shuffled = [...things];
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = random.between(0, i);
    [shuffled[i], shuffled[j]] = [shuffled[j] as T, shuffled[i] as T];
  }
  return shuffled;
}

export function describeFault(fault: Fault): string {
  const { kind, ...details } = fault;
  const words = Object.values(details).filter((detail) => detail !== false);
  return [kind, ...words.map((word) => (word === true ? 'both' : String(word)))].join(' ');
}
