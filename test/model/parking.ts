import type { Model, Step } from './checker.ts';
import { answerPacer, type PacerNode, type Response, startPacer } from './pacer-run.ts';
import type { Mutant, Run, Study } from './study.ts';

/**
 * The parking gate. The pacer is the product's own, run under a clock of the model; the database (flag, trigger, locks)
 * and the session that listens are restated.
 */
export interface ParkingBounds {
  readonly writers: number;
  /** The relay's process stands still for longer than the flag lasts. */
  readonly hangs: number;
  /** The listening session is lost, with the notifications that are on their way. */
  readonly losses: number;
  /** A stranger takes the flag down. */
  readonly moves: number;
  /** The relay dies and a new term begins. */
  readonly restarts: number;
}

/** False takes a guard away. */
export interface ParkingGuards {
  readonly waitsForHolders: boolean;
  readonly listsAfterRaising: boolean;
  readonly lastLook: boolean;
  readonly wakesOnLoss: boolean;
  readonly drainsAfterListen: boolean;
  readonly parksOnlyListening: boolean;
  readonly checksReplaced: boolean;
  readonly checksLapse: boolean;
  readonly checksLateness: boolean;
}

const ALL: ParkingGuards = {
  waitsForHolders: true,
  listsAfterRaising: true,
  lastLook: true,
  wakesOnLoss: true,
  drainsAfterListen: true,
  parksOnlyListening: true,
  checksReplaced: true,
  checksLapse: true,
  checksLateness: true,
};

interface Writer {
  readonly id: number;
  /** Its statement saw the flag up. */
  readonly notifies: boolean;
}

interface State {
  /** The database's clock. */
  readonly nowMs: number;
  /** How far the relay's own clock is behind it. */
  readonly behindMs: number;
  /** `parked_until`, in seconds. */
  readonly flag: number;
  readonly open: readonly Writer[];
  readonly begun: number;
  /** Committed, and no look has seen them. */
  readonly unseen: number;
  /** When the first of them was committed. */
  readonly unseenSinceMs: number;
  readonly listening: boolean;
  /** A notification is on its way. */
  readonly notified: boolean;
  /** The wake-up is pending. */
  readonly woken: boolean;
  readonly pacer: PacerNode;
  readonly memory: Memory;
  readonly left: Omit<ParkingBounds, 'writers'>;
}

/** What the pacer remembers, as far as its requests show: so that states which it tells apart stay apart. */
interface Memory {
  readonly flag: number;
  readonly renewedAtMs: number;
  readonly sweptAtMs: number;
  readonly quietSinceMs: number | null;
  readonly sweeping: boolean;
  /** Null: awake or parked. */
  readonly waitFor: readonly string[] | null;
  readonly holdersBefore: readonly string[];
}

const BLANK: Memory = {
  flag: 0,
  renewedAtMs: 0,
  sweptAtMs: 0,
  quietSinceMs: null,
  sweeping: false,
  waitFor: null,
  holdersBefore: [],
};

const FLAG_MS = 3_000;
const HANG_MS = 4_000;
const RENEW_MS = 1_000;

export async function parkingModel(
  bounds: ParkingBounds,
  guards: ParkingGuards = ALL,
): Promise<Model<State>> {
  const rules = { bounds, guards };
  const fresh = await startPacer();
  return {
    initial: {
      nowMs: 0,
      behindMs: 0,
      flag: 0,
      open: [],
      begun: 0,
      unseen: 0,
      unseenSinceMs: 0,
      listening: true,
      notified: false,
      woken: false,
      pacer: fresh,
      memory: BLANK,
      left: bounds,
    },
    async steps(state) {
      return [
        ...writerSteps(state, bounds),
        ...faultSteps(state, fresh, guards),
        ...(await pacerSteps(state, rules)),
      ];
    },
    key,
    violation: overslept,
    goal: ({ open, unseen, pacer }) => open.length + unseen === 0 && pacer.request.parked,
  };
}

/** A renewal notices a flag that went down, and a notification arrives sooner: nothing waits for the sweep. */
function overslept({ pacer, unseen, unseenSinceMs, nowMs, notified, woken }: State): string | undefined {
  const sleeps = pacer.request.parked && pacer.request.kind === 'wait' && !notified && !woken;
  if (unseen === 0 || !sleeps || nowMs - unseenSinceMs <= RENEW_MS) return undefined;
  return 'UNSEEN: an event was committed more than a renewal ago, and the relay sleeps';
}

interface Rules {
  readonly bounds: ParkingBounds;
  readonly guards: ParkingGuards;
}

function* writerSteps(state: State, { writers }: ParkingBounds): Iterable<Step<State>> {
  const { open, begun, flag, nowMs, listening } = state;
  if (begun < writers) {
    const notifies = flag * 1_000 > nowMs;
    yield {
      label: `w${begun + 1} inserts, sees the flag ${notifies ? 'up' : 'down'}`,
      next: { ...state, begun: begun + 1, open: [...open, { id: begun + 1, notifies }] },
    };
  }
  for (const writer of open) {
    const rest = open.filter(({ id }) => id !== writer.id);
    const notified = state.notified || (writer.notifies && listening);
    const unseenSinceMs = state.unseen === 0 ? nowMs : state.unseenSinceMs;
    yield {
      label: `w${writer.id} commits${writer.notifies ? ' and notifies' : ''}`,
      next: { ...state, open: rest, unseen: state.unseen + 1, unseenSinceMs, notified },
    };
    yield { label: `w${writer.id} rolls back`, next: { ...state, open: rest } };
  }
  if (state.notified)
    yield { label: 'the notification arrives', next: { ...state, notified: false, woken: true } };
}

function* faultSteps(state: State, fresh: PacerNode, guards: ParkingGuards): Iterable<Step<State>> {
  const { left, listening, woken, flag } = state;
  const spend = (fault: keyof typeof left) => ({ ...left, [fault]: left[fault] - 1 });
  if (left.losses > 0 && listening)
    yield {
      label: 'the listening session is lost',
      next: {
        ...state,
        left: spend('losses'),
        listening: false,
        notified: false,
        woken: woken || guards.wakesOnLoss,
      },
      fault: true,
    };
  if (!listening)
    yield {
      label: 'the listening session is back',
      next: { ...state, listening: true, woken: woken || guards.drainsAfterListen },
    };
  if (left.moves > 0 && flag > 0)
    yield {
      label: 'a stranger takes the flag down',
      next: { ...state, left: spend('moves'), flag: 0 },
      fault: true,
    };
  if (left.restarts > 0)
    yield {
      label: 'the relay dies, a new term begins',
      next: {
        ...state,
        left: spend('restarts'),
        pacer: fresh,
        memory: BLANK,
        woken: false,
        behindMs: state.nowMs,
      },
      fault: true,
    };
}

async function pacerSteps(state: State, rules: Rules): Promise<Step<State>[]> {
  const { request } = state.pacer;
  if (request.kind === 'look') return [await look(state, rules)];
  if (request.kind === 'park') return [await raise(state, rules)];
  if (request.kind === 'unpark')
    return [{ label: 'the relay takes the flag down', next: await answer({ ...state, flag: 0 }, rules, {}) }];
  if (request.kind === 'list') return [await list(state, rules)];
  if (state.woken)
    return [
      { label: 'the relay is woken', next: await answer({ ...state, woken: false }, rules, { woken: true }) },
    ];
  if (state.notified) return []; // It arrives sooner than any wait ends.
  return wait(state, rules);
}

async function look(state: State, rules: Rules): Promise<Step<State>> {
  const { memory } = state;
  const isLast = memory.waitFor?.length === 0;
  const events = isLast && !rules.guards.lastLook ? 0 : state.unseen;
  const unseen = state.unseen - events;
  const holdersBefore = rules.guards.listsAfterRaising ? [] : namesOf(state.open);
  return {
    label: events === 0 ? 'a look finds nothing' : `a look finds ${events}`,
    next: await answer({ ...state, unseen, memory: { ...memory, holdersBefore } }, rules, { events }),
  };
}

async function raise(state: State, rules: Rules): Promise<Step<State>> {
  const { guards } = rules;
  const { flag, nowMs, memory } = state;
  const set = Math.ceil((nowMs + FLAG_MS) / 1_000);
  const lapsed = guards.checksLapse && flag * 1_000 < nowMs;
  const replaced = guards.checksReplaced ? flag : memory.flag;
  const next = { ...state, flag: set };
  return {
    label: memory.flag === 0 ? 'the relay raises the flag' : 'the relay renews the flag',
    next: await answer(next, rules, { row: [String(replaced), String(set), lapsed ? 't' : 'f', 'f'] }),
  };
}

async function list(state: State, rules: Rules): Promise<Step<State>> {
  const { guards } = rules;
  const stale = !guards.listsAfterRaising && state.memory.waitFor === null;
  const open = stale ? state.memory.holdersBefore : namesOf(state.open);
  const holders = guards.waitsForHolders ? open : [];
  return {
    label: `the relay lists the holders: ${holders.join(', ') || 'none'}`,
    next: await answer(state, rules, { holders }),
  };
}

/** A wait may last longer than was asked for. While polling it does, so that parking takes fewer steps. */
async function wait(state: State, rules: Rules): Promise<Step<State>[]> {
  const { request } = state.pacer;
  const { memory, left } = state;
  const ms = memory.flag === 0 ? 150 : memory.waitFor === null ? request.ms : 500;
  const steps: Step<State>[] = [
    {
      label: `${request.parked ? 'the relay sleeps' : 'the relay waits'}, ${ms} ms pass`,
      next: await answer({ ...state, nowMs: state.nowMs + ms }, rules, { woken: false }),
    },
  ];
  if (left.hangs === 0 || memory.flag === 0) return steps;
  const unnoticed = rules.guards.checksLateness ? 0 : HANG_MS - request.ms;
  const hung: State = {
    ...state,
    left: { ...left, hangs: left.hangs - 1 },
    nowMs: state.nowMs + HANG_MS,
    behindMs: state.behindMs + unnoticed,
  };
  steps.push({ label: 'the relay stands still while the flag lapses', next: hung, fault: true });
  return steps;
}

function namesOf(open: readonly Writer[]): string[] {
  return open.map(({ id }) => `w${id}`);
}

async function answer(
  state: State,
  { guards }: Rules,
  response: Omit<Response, 'nowMs' | 'mayPark'>,
): Promise<State> {
  const nowMs = state.nowMs - state.behindMs;
  const mayPark = state.listening || !guards.parksOnlyListening;
  const pacer = await answerPacer(state.pacer, { ...response, nowMs, mayPark });
  return { ...state, pacer, memory: remember(state, response, pacer, nowMs) };
}

function remember(
  { memory, pacer: before }: State,
  { events, row, holders }: Omit<Response, 'nowMs' | 'mayPark'>,
  { request }: PacerNode,
  nowMs: number,
): Memory {
  const { kind, parked } = before.request;
  let next = { ...memory };
  if (kind === 'look' && memory.flag === 0 && !parked)
    next.quietSinceMs = events === 0 ? (memory.quietSinceMs ?? nowMs) : null;
  if (kind === 'park') next = { ...next, flag: Number(row?.[1]), renewedAtMs: nowMs };
  if (kind === 'unpark') next = { ...BLANK };
  if (kind === 'list') next.waitFor = (memory.waitFor ?? holders ?? []).filter((id) => holders?.includes(id));
  if (request.parked && !parked) next = { ...next, sweptAtMs: nowMs, waitFor: null };
  if (request.counted.includes('sweep')) next = { ...next, sweptAtMs: nowMs, sweeping: true };
  else if (request.kind !== 'look') next.sweeping = false;
  return next;
}

/** Times are told from now. */
function key(state: State): string {
  const { nowMs, behindMs, flag, open, begun, unseen, listening, notified, woken, pacer, memory, left } =
    state;
  const relayMs = nowMs - behindMs;
  const { request } = pacer;
  const awake = memory.flag === 0;
  return JSON.stringify([
    Math.max(-1, flag * 1_000 - nowMs),
    open.map(({ notifies, id }) => [notifies, memory.waitFor?.includes(`w${id}`)]).sort(),
    begun,
    unseen,
    unseen === 0 ? 0 : nowMs - state.unseenSinceMs,
    listening,
    notified,
    woken,
    left,
    [
      request.kind,
      request.parked,
      awake ? 0 : request.ms,
      request.counted.filter((what) => what.startsWith('sweep')),
    ],
    awake ? 0 : [memory.flag * 1_000 - nowMs, relayMs - memory.renewedAtMs],
    memory.quietSinceMs === null ? null : Math.min(relayMs - memory.quietSinceMs, 150),
    request.parked ? relayMs - memory.sweptAtMs : null,
    memory.sweeping,
    memory.waitFor?.length,
    memory.holdersBefore.length,
  ]);
}

const bounds = (more: Partial<ParkingBounds>): ParkingBounds => ({
  writers: 2,
  hangs: 0,
  losses: 0,
  moves: 0,
  restarts: 0,
  ...more,
});

const holding = (name: string, of: ParkingBounds, quick = true): Run => ({
  name,
  model: () => parkingModel(of),
  maxStates: 200_000,
  quick,
});

interface Without {
  readonly where: string;
  readonly removed: Partial<ParkingGuards>;
  readonly of: ParkingBounds;
  readonly expect?: Mutant['expect'];
}

const without = (name: string, { where, removed, of, expect = 'refuted' }: Without): Mutant => ({
  name,
  where,
  model: () => parkingModel(of, { ...ALL, ...removed }),
  intact: () => parkingModel(of),
  maxStates: 200_000,
  expect,
});

export const parkingStudy: Study = {
  name: 'parking',
  about: 'no committed event stays unseen while the relay sleeps',
  runs: [
    holding('two writers', bounds({})),
    holding('listening session lost', bounds({ writers: 1, losses: 1 })),
    holding('a hang', bounds({ writers: 1, hangs: 1 })),
    holding('the flag moved', bounds({ writers: 1, moves: 1 })),
    holding('a dead relay', bounds({ writers: 1, restarts: 1 })),
  ],
  mutants: [
    without('parking without waiting for the listed holders', {
      where: 'pacer.ts, goOnParking (P1)',
      removed: { waitsForHolders: false },
      of: bounds({ writers: 1 }),
    }),
    without('holders listed before the flag is raised', {
      where: 'pacer.ts, startParking (P1)',
      removed: { listsAfterRaising: false },
      of: bounds({ writers: 1 }),
    }),
    without('no last look', {
      where: 'pacer.ts, goOnParking (P1)',
      removed: { lastLook: false },
      of: bounds({ writers: 1 }),
    }),
    without('parking without a session that listens', {
      where: 'term.ts, mayPark (P3)',
      removed: { parksOnlyListening: false },
      of: bounds({ writers: 1, losses: 1 }),
    }),
    without('no drain after LISTEN, alone', {
      where: 'listener.ts, connected',
      removed: { drainsAfterListen: false },
      of: bounds({ writers: 1, losses: 1 }),
      expect: 'redundant',
    }),
    without('no drain after LISTEN, and nobody told of the loss', {
      where: 'listener.ts, connected and reconnect',
      removed: { drainsAfterListen: false, wakesOnLoss: false },
      of: bounds({ writers: 1, losses: 1 }),
    }),
    without('renewal does not look at what it replaced', {
      where: 'pacer.ts, raise (P2)',
      removed: { checksReplaced: false },
      of: bounds({ writers: 1, moves: 1 }),
      expect: 'redundant',
    }),
    without('renewal looks at nothing that it brings back', {
      where: 'pacer.ts, raise (P2)',
      removed: { checksReplaced: false, checksLapse: false },
      of: bounds({ writers: 1, moves: 1 }),
    }),
    without('renewal late by the monotonic clock, alone', {
      where: 'pacer.ts, raise (P2)',
      removed: { checksLateness: false },
      of: bounds({ writers: 1, hangs: 1 }),
      expect: 'redundant',
    }),
    without('renewal not checked for having lapsed, alone', {
      where: 'pacer.ts, raise (P2)',
      removed: { checksLapse: false },
      of: bounds({ writers: 1, hangs: 1 }),
      expect: 'redundant',
    }),
    without('renewal neither late nor lapsed', {
      where: 'pacer.ts, raise (P2)',
      removed: { checksLapse: false, checksLateness: false },
      of: bounds({ writers: 1, hangs: 1 }),
    }),
  ],
};
