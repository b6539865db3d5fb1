import type { Model, Step } from './checker.ts';
import { answerKeeper, type KeeperNode, startKeeper, TTL_MS } from './keeper-run.ts';
import type { Mutant, Run, Study } from './study.ts';

/**
 * The hand-over of the lease between two relays. The keeper, which decides how long a leader may trust its lease, is the
 * product's own, run under the model's clock; the statements of `lease.ts` and the order of a takeover are restated.
 */
export interface LeaseBounds {
  readonly crashes: number;
  /** A process stands still, for ever or for a while. */
  readonly freezes: number;
  /** A connection is lost, and the server does not notice for a while. */
  readonly losses: number;
  /** Clean stops. */
  readonly stops: number;
  /** Ticks that the database, or the network, takes longer for a renewal. */
  readonly slows: number;
  /** Epochs at most. */
  readonly epochs: number;
  /** Behind a transaction pooler: no lock, no sessions to end. */
  readonly pooled: boolean;
}

/** False takes a guard away. */
export interface LeaseGuards {
  readonly trustFromStart: boolean;
  readonly terminates: boolean;
  readonly fence: boolean;
  readonly epochInPlan: boolean;
  readonly epochInFence: boolean;
  readonly epochInRelease: boolean;
}

const ALL: LeaseGuards = {
  trustFromStart: true,
  terminates: true,
  fence: true,
  epochInPlan: true,
  epochInFence: true,
  epochInRelease: true,
};

type Stage = 'won' | 'terminated' | 'locked' | 'leading';

interface Relay {
  readonly name: string;
  readonly frozen: boolean;
  readonly term: Term | null;
}

interface Term {
  readonly epoch: number;
  readonly stage: Stage;
  readonly keeper: KeeperNode;
  readonly trustedUntilMs: number;
  /** A renewal that is under way: sent, or done and not answered. */
  readonly renewal: 'sent' | 'yes' | 'no' | null;
  /** What it sends arrives. */
  readonly connected: boolean;
}

/** What the server knows of a term's connections. */
interface Backend {
  readonly epoch: number;
  /** An insert into the log that has seen the lease's epoch and is not committed. */
  readonly planning: boolean;
  /** The client is gone, or it was terminated: nothing new comes from it. */
  readonly ending: boolean;
  readonly lock: boolean;
}

interface State {
  readonly nowMs: number;
  readonly epoch: number;
  /** Null: released. */
  readonly expiresAtMs: number | null;
  readonly backends: readonly Backend[];
  readonly relays: readonly Relay[];
  /** The newest epoch that has read the log. */
  readonly reader: number;
  readonly left: Pick<LeaseBounds, 'crashes' | 'freezes' | 'losses' | 'stops' | 'slows'>;
  readonly wrong: string | undefined;
}

const TICK_MS = 3;

export function leaseModel(bounds: LeaseBounds, guards: LeaseGuards = ALL): Model<State> {
  const { crashes, freezes, losses, stops, slows } = bounds;
  return {
    initial: {
      nowMs: 0,
      epoch: 0,
      expiresAtMs: null,
      backends: [],
      relays: ['A', 'B'].map((name) => ({ name, frozen: false, term: null })),
      reader: 0,
      left: { crashes, freezes, losses, stops, slows },
      wrong: undefined,
    },
    async steps(state) {
      const steps: Step<State>[] = [...serverSteps(state)];
      for (const relay of state.relays) {
        steps.push(...faultSteps(state, relay));
        if (relay.frozen) continue;
        if (relay.term === null) steps.push(...(await standbySteps(state, relay, bounds)));
        else steps.push(...(await termSteps(state, relay, { term: relay.term, bounds, guards })));
      }
      if (!state.relays.some((relay) => isUrgent(state, relay))) steps.push(...tick(state));
      return steps;
    },
    key,
    violation: (state) => state.wrong,
    /** At the bound of epochs nobody may take over, which is the model's fault. */
    goal: ({ relays, epoch }) =>
      epoch >= bounds.epochs ||
      relays.some(({ frozen, term }) => !frozen && term?.stage === 'leading' && term.epoch === epoch),
  };
}

interface Rules {
  readonly term: Term;
  readonly bounds: LeaseBounds;
  readonly guards: LeaseGuards;
}

/** A process that runs acts when its time has come. */
function isUrgent({ nowMs }: State, { frozen, term }: Relay): boolean {
  if (frozen || term === null) return false;
  const { kind, untilMs } = term.keeper.request;
  return kind === 'lost' || (untilMs <= nowMs && (kind === 'renew' || term.renewal === null));
}

/** Time passes beside a renewal that is under way: somebody is slow. */
function tick(state: State): Step<State>[] {
  const { left, nowMs } = state;
  const next = { ...state, nowMs: nowMs + TICK_MS };
  const isSlow = state.relays.some(({ frozen, term }) => !frozen && term?.connected && term.renewal !== null);
  if (!isSlow) return [{ label: 'time passes', next }];
  if (left.slows === 0) return [];
  return [
    {
      label: 'time passes, the renewal is slow',
      next: { ...next, left: { ...left, slows: left.slows - 1 } },
      fault: true,
    },
  ];
}

// --- The server ------------------------------------------------------------------------------------------------------

function* serverSteps(state: State): Iterable<Step<State>> {
  yield* backendSteps(state);
  yield* renewalSteps(state);
}

function* backendSteps(state: State): Iterable<Step<State>> {
  for (const backend of state.backends) {
    const { epoch, planning, ending } = backend;
    if (planning) yield { label: `the plan of epoch ${epoch} commits`, next: commit(state, backend) };
    if (ending && backend.lock)
      yield {
        label: `the lock of epoch ${epoch} is free`,
        next: withBackend(state, { ...backend, lock: false }),
      };
    if (ending && !backend.lock) {
      const next = { ...state, backends: state.backends.filter((one) => one !== backend) };
      yield { label: `the sessions of epoch ${epoch} end`, next };
    }
  }
}

function* renewalSteps(state: State): Iterable<Step<State>> {
  for (const relay of state.relays) {
    const { name, term } = relay;
    if (term === null || term.renewal !== 'sent' || !term.connected) continue;
    if (backendOf(state, term.epoch) === undefined) continue;
    const stands = term.epoch === state.epoch;
    const renewed = withTerm(state, relay, { ...term, renewal: stands ? 'yes' : 'no' });
    yield {
      label: `the database ${stands ? 'renews' : 'does not renew'} the lease for ${name}`,
      next: stands ? { ...renewed, expiresAtMs: state.nowMs + TTL_MS } : renewed,
    };
  }
}

function withTerm(state: State, relay: Relay, term: Term): State {
  return withRelay(state, { ...relay, term });
}

function commit(state: State, backend: Backend): State {
  const { epoch } = backend;
  const written = withBackend(state, { ...backend, planning: false });
  if (epoch >= state.reader) return written;
  return { ...written, wrong: `LATE: epoch ${epoch} writes its log after epoch ${state.reader} has read it` };
}

function withBackend(state: State, changed: Backend): State {
  return {
    ...state,
    backends: state.backends.map((one) => (one.epoch === changed.epoch ? changed : one)),
  };
}

function backendOf({ backends }: State, epoch: number): Backend | undefined {
  return backends.find((one) => one.epoch === epoch && !one.ending);
}

/** An idle session ends with its client; a statement that runs is finished first. */
function abandon(state: State, epoch: number): State {
  return {
    ...state,
    backends: state.backends.flatMap((one) => {
      if (one.epoch !== epoch) return [one];
      return one.planning ? [{ ...one, ending: true, lock: false }] : [];
    }),
  };
}

// --- Faults ----------------------------------------------------------------------------------------------------------

function* faultSteps(state: State, relay: Relay): Iterable<Step<State>> {
  const { left } = state;
  const { name, frozen, term } = relay;
  const spend = (fault: keyof typeof left) => ({ ...state, left: { ...left, [fault]: left[fault] - 1 } });
  if (frozen)
    yield { label: `${name} goes on`, next: withRelay(state, { ...relay, frozen: false }), fault: true };
  else if (left.freezes > 0 && term !== null)
    yield {
      label: `${name} stands still`,
      next: withRelay(spend('freezes'), { ...relay, frozen: true }),
      fault: true,
    };
  if (term === null) return;
  if (left.crashes > 0)
    yield {
      label: `${name} is killed, and started again`,
      next: leave(abandon(spend('crashes'), term.epoch), { ...relay, frozen: false }),
      fault: true,
    };
  if (left.losses > 0 && term.connected)
    yield {
      label: `${name} is cut off from the database, which does not notice`,
      next: withRelay(spend('losses'), { ...relay, term: { ...term, connected: false } }),
      fault: true,
    };
  if (!term.connected && backendOf(state, term.epoch) !== undefined)
    yield {
      label: `the database notices that ${name} is gone`,
      next: abandon(state, term.epoch),
    };
}

function withRelay(state: State, changed: Relay): State {
  return { ...state, relays: state.relays.map((one) => (one.name === changed.name ? changed : one)) };
}

function leave(state: State, relay: Relay): State {
  return withRelay(state, { ...relay, term: null });
}

// --- Standing by -----------------------------------------------------------------------------------------------------

/** As `takeLead`. */
async function standbySteps(
  state: State,
  relay: Relay,
  { epochs, pooled }: LeaseBounds,
): Promise<Step<State>[]> {
  const { epoch, nowMs, expiresAtMs, backends } = state;
  if (epoch >= epochs) return [];
  const free = !pooled && !backends.some(({ lock }) => lock);
  const expired = expiresAtMs === null ? pooled : expiresAtMs < nowMs;
  if (!free && !expired) return [];
  const trusting = state.relays.find(
    ({ frozen, term }) =>
      !frozen && term?.epoch === epoch && term.keeper.request.kind !== 'lost' && term.trustedUntilMs >= nowMs,
  );
  const term: Term = {
    epoch: epoch + 1,
    stage: 'won',
    keeper: await startKeeper(nowMs),
    trustedUntilMs: nowMs + TTL_MS,
    renewal: null,
    connected: true,
  };
  const next: State = {
    ...withRelay(state, { ...relay, term }),
    epoch: epoch + 1,
    expiresAtMs: nowMs + TTL_MS,
    backends: pooled
      ? [...backends, { epoch: epoch + 1, planning: false, ending: false, lock: false }]
      : [...backends, { epoch: epoch + 1, planning: false, ending: false, lock: free }],
    wrong:
      !free && trusting !== undefined
        ? `TRUSTED: ${relay.name} takes over by time while ${trusting.name} runs and trusts its lease`
        : undefined,
  };
  return [
    {
      label: `${relay.name} takes the lead (epoch ${epoch + 1}), ${free ? 'the lock is free' : 'the lease has run out'}`,
      next,
    },
  ];
}

// --- Leading ---------------------------------------------------------------------------------------------------------

async function termSteps(state: State, relay: Relay, rules: Rules): Promise<Step<State>[]> {
  const { name } = relay;
  const { term } = rules;
  const stepDown = (why: string): Step<State> => ({
    label: `${name} steps down: ${why}`,
    next: leave(abandon(state, term.epoch), relay),
  });
  if (term.keeper.request.kind === 'lost') return [stepDown('its lease is lost')];
  const steps = await keeperSteps(state, relay, rules);
  const backend = backendOf(state, term.epoch);
  if (!term.connected) return steps;
  if (backend === undefined) return [...steps, stepDown('its sessions are gone')];
  const next = advance(state, relay, { ...rules, backend });
  if (next === 'fenced') steps.push(stepDown('another epoch leads'));
  else if (next !== undefined) steps.push(next);
  if (state.left.stops > 0 && !backend.planning) steps.push(stop(state, relay, rules));
  return steps;
}

async function keeperSteps(state: State, relay: Relay, { term, guards }: Rules): Promise<Step<State>[]> {
  const { nowMs } = state;
  const { keeper, renewal } = term;
  const { kind, untilMs } = keeper.request;
  const { name } = relay;
  const move = (label: string, changed: Term): Step<State> => ({
    label: `${name} ${label}`,
    next: withTerm(state, relay, changed),
  });
  if (kind === 'renew' && untilMs <= nowMs) {
    const late = await answerKeeper(keeper, { nowMs, renewed: 'late' });
    return [move('has waited too long for its renewal', { ...term, keeper: late, renewal: null })];
  }
  if (kind === 'sleep' && untilMs <= nowMs && renewal === null) {
    if (!guards.trustFromStart) return [move('asks for a renewal', { ...term, renewal: 'sent' })];
    const asking = await answerKeeper(keeper, { nowMs });
    return [move('asks for a renewal', { ...term, keeper: asking, renewal: 'sent' })];
  }
  if (!term.connected || (renewal !== 'yes' && renewal !== 'no')) return [];
  // The mutant's keeper begins to count here: it has not noticed that it asked long ago.
  const asking = kind === 'sleep' ? await answerKeeper(keeper, { nowMs }) : keeper;
  const answered =
    asking.request.kind === 'renew'
      ? await answerKeeper(asking, { nowMs, renewed: renewal === 'yes' })
      : asking;
  const trustedUntilMs = askedAtMs(asking) + TTL_MS;
  return [move('has its answer', { ...term, keeper: answered, renewal: null, trustedUntilMs })];
}

function askedAtMs({ responses, startedAtMs }: KeeperNode): number {
  return responses.at(-1)?.nowMs ?? startedAtMs;
}

/** As `term.ts` takes over: end the predecessor's sessions, hold the lock, fence the log and read it, plan. */
function advance(
  state: State,
  relay: Relay,
  { term, guards, bounds, backend }: Rules & { backend: Backend },
): Step<State> | 'fenced' | undefined {
  const { name } = relay;
  const to = (label: string, stage: Stage, from: State = state): Step<State> => ({
    label: `${name} ${label}`,
    next: withTerm(from, relay, { ...term, stage }),
  });
  const isOld = term.epoch !== state.epoch;
  if (term.stage === 'won')
    return to('ends its predecessors sessions', 'terminated', terminate(state, term, { guards, bounds }));
  if (term.stage === 'terminated') {
    if (bounds.pooled || backend.lock) return to('holds the lock', 'locked');
    if (state.backends.some(({ lock }) => lock)) return undefined;
    return to('takes the lock', 'locked', withBackend(state, { ...backend, lock: true }));
  }
  if (term.stage === 'leading') return plan(state, relay, { term, guards, bounds, backend });
  if (guards.fence && state.backends.some(({ planning }) => planning)) return undefined;
  if (guards.epochInFence && isOld) return 'fenced';
  return to('reads the log', 'leading', { ...state, reader: Math.max(state.reader, term.epoch) });
}

function plan(
  state: State,
  { name }: Relay,
  { term, guards, backend }: Rules & { backend: Backend },
): Step<State> | 'fenced' | undefined {
  if (backend.planning) return undefined;
  if (guards.epochInPlan && term.epoch !== state.epoch) return 'fenced';
  const next = withBackend(state, { ...backend, planning: true });
  return { label: `${name} sends a plan (epoch ${term.epoch})`, next };
}

/** Asked to end, a backend may still finish what it is about to commit. */
function terminate(state: State, term: Term, { guards, bounds }: Omit<Rules, 'term'>): State {
  if (!guards.terminates || bounds.pooled || term.epoch !== state.epoch) return state;
  return {
    ...state,
    backends: state.backends.map((one) => (one.epoch === term.epoch ? one : { ...one, ending: true })),
  };
}

function stop(state: State, relay: Relay, { term, guards }: Rules): Step<State> {
  const mayRelease = term.epoch === state.epoch || !guards.epochInRelease;
  const spent: State = {
    ...state,
    left: { ...state.left, stops: state.left.stops - 1 },
    expiresAtMs: mayRelease ? null : state.expiresAtMs,
  };
  return {
    label: `${relay.name} stops${mayRelease ? ' and releases the lease' : ''}`,
    next: leave(abandon(spent, term.epoch), relay),
    fault: true,
  };
}

// --- What cannot matter ----------------------------------------------------------------------------------------------

/** Times are told from now, and which relay is which does not matter. */
function key(state: State): string {
  const { nowMs, epoch, expiresAtMs, backends, relays, reader, left } = state;
  const relative = (ms: number) => Math.max(ms - nowMs, -1);
  const relayKeys = relays.map(({ frozen, term }) => {
    if (term === null) return JSON.stringify([frozen]);
    const { kind, untilMs } = term.keeper.request;
    const asked = kind === 'renew' ? relative(askedAtMs(term.keeper) + TTL_MS) : 0;
    const times = [relative(untilMs), relative(term.trustedUntilMs), asked];
    return JSON.stringify([frozen, term.epoch, term.stage, kind, times, term.renewal, term.connected]);
  });
  return JSON.stringify([
    epoch,
    expiresAtMs === null ? null : relative(expiresAtMs),
    backends.map(({ epoch: of, planning, ending, lock }) => [of, planning, ending, lock]),
    relayKeys.sort(),
    reader,
    left,
  ]);
}

const bounds = (more: Partial<LeaseBounds>): LeaseBounds => ({
  crashes: 0,
  freezes: 0,
  losses: 0,
  stops: 0,
  slows: 0,
  epochs: 4,
  pooled: false,
  ...more,
});

const holding = (name: string, of: LeaseBounds, quick = true): Run => ({
  name,
  model: () => leaseModel(of),
  maxStates: 400_000,
  quick,
});

interface Without {
  readonly where: string;
  readonly removed: Partial<LeaseGuards>;
  readonly of: LeaseBounds;
  readonly expect?: Mutant['expect'];
}

const without = (name: string, { where, removed, of, expect = 'refuted' }: Without): Mutant => ({
  name,
  where,
  model: () => leaseModel(of, { ...ALL, ...removed }),
  intact: () => leaseModel(of),
  maxStates: 400_000,
  expect,
});

export const leaseStudy: Study = {
  name: 'lease',
  about: 'nothing of an older epoch is written once a newer one has read the log, and somebody leads',
  runs: [
    holding('crash, freeze', bounds({ crashes: 1, freezes: 1 })),
    holding('slow renewals', bounds({ slows: 4 })),
    holding('freeze, slow renewal', bounds({ freezes: 1, slows: 2 }), false),
    holding('lost connection, freeze', bounds({ losses: 1, freezes: 1 }), false),
    holding('stop, crash', bounds({ stops: 1, crashes: 1 })),
    holding('pooled: crash, freeze, stop', bounds({ crashes: 1, freezes: 1, stops: 1, pooled: true }), false),
    holding('pooled: freeze, slow renewals', bounds({ freezes: 1, slows: 2, pooled: true }), false),
  ],
  mutants: [
    without('trust counted from the answer', {
      where: 'keeper.ts, keepLease',
      removed: { trustFromStart: false },
      of: bounds({ slows: 4 }),
    }),
    without('no termination', {
      where: 'lease.ts, terminatePredecessors',
      removed: { terminates: false },
      of: bounds({ freezes: 1 }),
    }),
    without('no epoch predicate in plans, alone', {
      where: 'plan.ts, insertOne',
      removed: { epochInPlan: false },
      of: bounds({ freezes: 1 }),
      expect: 'redundant',
    }),
    without('no epoch looked at behind the fence, alone', {
      where: 'lease.ts, fenceLog',
      removed: { epochInFence: false },
      of: bounds({ freezes: 1 }),
      expect: 'redundant',
    }),
    without('no epoch predicate in plans, nor behind the fence', {
      where: 'plan.ts, lease.ts',
      removed: { epochInPlan: false, epochInFence: false },
      of: bounds({ freezes: 1 }),
      expect: 'redundant',
    }),
    without('no fence', {
      where: 'lease.ts, fenceLog',
      removed: { fence: false },
      of: bounds({ crashes: 1 }),
    }),
    without('no termination, no fence, no epoch predicate', {
      where: 'lease.ts, plan.ts',
      removed: { terminates: false, fence: false, epochInPlan: false, epochInFence: false },
      of: bounds({ freezes: 1 }),
    }),
    without('no epoch predicate in plans, behind a pooler', {
      where: 'plan.ts, insertOne',
      removed: { epochInPlan: false },
      of: bounds({ freezes: 1, pooled: true }),
    }),
    without('release by an old epoch, behind a pooler', {
      where: 'lease.ts, releaseIfLeading',
      removed: { epochInRelease: false },
      of: bounds({ freezes: 1, stops: 1, pooled: true }),
    }),
  ],
};
