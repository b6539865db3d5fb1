import type { Model, Step } from './checker.ts';
import type { Study } from './study.ts';

/**
 * One event in `key` ordering: it owns no sequence, so its message id protects a repeat, for as long as the duplicate
 * window lasts. Restated from `key-outlet.ts` and `look-up.ts`. A packet of a lost connection arrives within half of the
 * window or never: beyond that nothing without slots can hold, and the inbox makes two copies one effect.
 */
export interface KeyBounds {
  readonly lostAnswers: number;
  readonly crashes: number;
}

interface State {
  /** In halves of the duplicate window. */
  readonly now: number;
  /** When its id was stored, newest first; null: never. */
  readonly storedAt: number | null;
  readonly copies: number;
  /** When packets that are under way were sent. */
  readonly underWay: readonly number[];
  /** `unknown`: it may have been sent; look before it is repeated. Else: it may be sent until then. */
  readonly relay: 'waits' | 'settled' | 'unknown' | { readonly safeUntil: number };
  readonly left: KeyBounds;
}

const WINDOW = 2;

export function keyModel(bounds: KeyBounds, { looks }: { looks: boolean } = { looks: true }): Model<State> {
  return {
    initial: {
      now: 0,
      storedAt: null,
      copies: 0,
      underWay: [],
      relay: { safeUntil: Number.POSITIVE_INFINITY },
      left: bounds,
    },
    *steps(state) {
      yield* networkSteps(state);
      yield* relaySteps(state, looks);
    },
    key: ({ now, storedAt, underWay, relay, ...rest }) => {
      const age = (at: number) => Math.min(now - at, WINDOW);
      const until = typeof relay === 'string' ? relay : Math.max(relay.safeUntil - now, -1);
      return JSON.stringify([
        storedAt === null ? null : age(storedAt),
        underWay.map(age),
        String(until),
        rest,
      ]);
    },
    violation: ({ copies }) => (copies > 1 ? 'TWICE: the event is stored again' : undefined),
    goal: ({ copies, relay }) => copies === 1 && relay === 'settled',
  };
}

function* networkSteps(state: State): Iterable<Step<State>> {
  const { now, underWay, left, relay } = state;
  const [sentAt, ...rest] = underWay;
  if (sentAt !== undefined) {
    const arrived = { ...store(state), underWay: rest };
    yield {
      label: 'the packet arrives, and its answer',
      next: relay === 'waits' ? { ...arrived, relay: 'settled' } : arrived,
    };
    if (left.lostAnswers > 0 && relay === 'waits')
      yield {
        label: 'the packet arrives, its answer is lost',
        next: { ...arrived, relay: 'unknown', left: { ...left, lostAnswers: left.lostAnswers - 1 } },
        fault: true,
      };
  }
  if (left.crashes > 0 && relay !== 'settled')
    yield {
      label: 'the relay dies, its packets are delayed',
      next: { ...state, relay: 'unknown', left: { ...left, crashes: left.crashes - 1 } },
      fault: true,
    };
  if (underWay.every((at) => now - at < WINDOW / 2))
    yield { label: 'half of the duplicate window passes', next: { ...state, now: now + 1 } };
}

/** As the server does: an id that it knows is a duplicate, and refreshes nothing. */
function store(state: State): State {
  const { now, storedAt, copies } = state;
  const known = storedAt !== null && now - storedAt < WINDOW;
  return known ? state : { ...state, storedAt: now, copies: copies + 1 };
}

function* relaySteps(state: State, looks: boolean): Iterable<Step<State>> {
  const { relay, now, copies } = state;
  if (relay === 'unknown') {
    const safeUntil = looks ? now + WINDOW / 2 : Number.POSITIVE_INFINITY;
    const found = looks && copies > 0;
    yield {
      label: looks
        ? `the relay looks into the stream, which ${found ? 'has' : 'lacks'} it`
        : 'the relay will repeat it',
      next: { ...state, relay: found ? 'settled' : { safeUntil } },
    };
  }
  if (typeof relay === 'string') return;
  if (now < relay.safeUntil)
    yield {
      label: 'the relay sends it',
      next: { ...state, relay: 'waits', underWay: [...state.underWay, now] },
    };
  else
    yield {
      label: 'half of the window is over: the relay looks again',
      next: { ...state, relay: 'unknown' },
    };
}

const MANY: KeyBounds = { lostAnswers: 2, crashes: 2 };

export const keyStudy: Study = {
  name: 'key',
  about:
    'in key ordering, too, an event is stored once, if packets are not delayed for half of the duplicate window',
  runs: [{ name: 'lost answers, crashes', model: () => keyModel(MANY), maxStates: 10_000, quick: true }],
  mutants: [
    {
      name: 'blind retry past the duplicate window',
      where: 'key-outlet.ts, pump and compare',
      model: () => keyModel(MANY, { looks: false }),
      intact: () => keyModel(MANY),
      maxStates: 10_000,
      expect: 'refuted',
    },
  ],
};
