import { absorb, lowestGap, reach } from '../../src/outbox/capture.ts';
import { createGaps, type Gaps } from '../../src/outbox/gaps.ts';
import type { Holders } from '../../src/outbox/holders.ts';
import type { ReadResult } from '../../src/outbox/read.ts';
import { complementOf, rangesOf } from '../../src/postgres/position-ranges.ts';
import type { Model, Step } from './checker.ts';
import { type Study, studying } from './study.ts';

/**
 * Capture beside writers. The gaps, how far a look reaches and what it says about gaps are the product's own; PostgreSQL
 * (snapshots, locks, the sequence) and the restart from the log are restated here.
 */
export interface CaptureBounds {
  readonly transactions: number;
  readonly insertsEach: number;
  /** So many positions the first transaction draws at a time; all but the last are never filled. */
  readonly wide: number;
  readonly limit: number;
  readonly restarts: number;
  /** What stands at this position is set aside when it is planned: the log names it as parked. */
  readonly dead?: number;
  /** Savepoints and PREPARE, besides commit and rollback. */
  readonly rich: boolean;
  /** So many positions are drawn at most. */
  readonly positions: number;
}

/** False takes a guard away. */
export interface CaptureGuards {
  readonly listingBetweenLooks: boolean;
  readonly cutOffCounts: boolean;
  readonly cutStopsCursor: boolean;
  readonly virtualTransactions: boolean;
  readonly lookAfterDeparture: boolean;
  readonly gateIsChecked: boolean;
  readonly oneSnapshot: boolean;
  readonly passedIsGap: boolean;
  readonly unseenIsGap: boolean;
  readonly listedAfterSeen: boolean;
  readonly parkedIsCovered: boolean;
}

const ALL: CaptureGuards = {
  listingBetweenLooks: true,
  cutOffCounts: true,
  cutStopsCursor: true,
  virtualTransactions: true,
  lookAfterDeparture: true,
  gateIsChecked: true,
  oneSnapshot: true,
  passedIsGap: true,
  unseenIsGap: true,
  listedAfterSeen: true,
  parkedIsCovered: true,
};

interface Transaction {
  readonly id: number;
  /** Null: prepared, no backend is its own. */
  readonly pid: number | null;
  readonly locked: boolean;
  readonly inserts: number;
  readonly rows: readonly number[];
}

interface PendingLook {
  readonly everything: boolean;
  readonly rows: readonly number[];
  readonly cut: boolean;
  readonly gateOpened: boolean;
}

interface State {
  readonly begun: number;
  readonly open: readonly Transaction[];
  /** The sequence's last value. */
  readonly last: number;
  /** Of each row that is not planned: those that were committed and not planned when it was drawn. */
  readonly before: ReadonlyMap<number, readonly number[]>;
  /** Committed and not planned. */
  readonly visible: readonly number[];
  readonly planned: readonly number[];
  readonly log: { readonly readTo: number; readonly openFrom: number };
  readonly cursor: number;
  /** Never changed in place: every step works on a fork. */
  readonly gaps: Gaps;
  readonly cutBefore: boolean;
  readonly look: PendingLook | null;
  readonly lastListing: Holders;
  readonly restarts: number;
  readonly wrong: string | undefined;
}

const INITIAL: State = {
  begun: 0,
  open: [],
  last: 0,
  before: new Map(),
  visible: [],
  planned: [],
  log: { readTo: 0, openFrom: 1 },
  cursor: 0,
  gaps: createGaps(),
  cutBefore: false,
  look: null,
  lastListing: new Map(),
  restarts: 0,
  wrong: undefined,
};

export function captureModel(bounds: CaptureBounds, guards: CaptureGuards = ALL): Model<State> {
  const capture = createCaptureSteps(bounds, guards);
  return {
    initial: INITIAL,
    *steps(state) {
      yield* writerSteps(state, bounds);
      yield* capture(state);
      if (state.restarts < bounds.restarts)
        yield {
          label: 'the relay starts over from the log',
          next: restart(state, bounds, guards),
          fault: true,
        };
    },
    key,
    violation: (state) => state.wrong ?? skipped(state),
    goal: ({ open, visible, gaps, look }) => open.length + visible.length + gaps.count === 0 && look === null,
  };
}

/** A committed event that no look will ever find. */
function skipped({ visible, cursor, gaps }: State): string | undefined {
  const lost = visible.find((position) => position <= cursor && !gaps.has(position));
  return lost === undefined ? undefined : `LOST: position ${lost} is committed and will never be read`;
}

function* writerSteps(state: State, bounds: CaptureBounds): Iterable<Step<State>> {
  const { begun, open } = state;
  if (begun < bounds.transactions) {
    const fresh: Transaction = { id: begun + 1, pid: begun + 1, locked: false, inserts: 0, rows: [] };
    const next = insert({ ...state, begun: begun + 1, open: [...open, fresh] }, fresh, bounds);
    if (next !== undefined) yield next;
  }
  for (const one of open) {
    const again = one.pid !== null && one.inserts < bounds.insertsEach && insert(state, one, bounds);
    if (again) yield again;
    yield { label: `t${one.id} commits`, next: end(state, one, one.rows) };
    yield { label: `t${one.id} rolls back`, next: end(state, one, []) };
    if (!bounds.rich || one.pid === null) continue;
    yield {
      label: `t${one.id} is prepared`,
      next: withTransaction(state, { ...one, pid: null }),
    };
    if (one.rows.length > 0)
      yield {
        label: `t${one.id} rolls back to a savepoint before its first insert`,
        next: withTransaction(state, { ...one, locked: false, rows: [] }),
      };
  }
}

/** The lock first, then the position. */
function insert(state: State, one: Transaction, bounds: CaptureBounds): Step<State> | undefined {
  const width = one.id === 1 ? bounds.wide : 1;
  const position = state.last + width;
  if (position > bounds.positions) return undefined;
  const next = withTransaction(
    { ...state, last: position, before: new Map([...state.before, [position, state.visible]]) },
    { ...one, locked: true, inserts: one.inserts + 1, rows: [...one.rows, position] },
  );
  return { label: `t${one.id} draws position ${position}`, next };
}

function withTransaction(state: State, changed: Transaction): State {
  return { ...state, open: state.open.map((one) => (one.id === changed.id ? changed : one)) };
}

function end(state: State, one: Transaction, committed: readonly number[]): State {
  return {
    ...state,
    open: state.open.filter(({ id }) => id !== one.id),
    visible: [...state.visible, ...committed].sort((a, b) => a - b),
  };
}

/** As `recoverCapture` does, of the newest row and what all rows hold or leave out on purpose. */
function restart(state: State, { dead }: CaptureBounds, { parkedIsCovered }: CaptureGuards): State {
  const { log, planned, restarts } = state;
  const known = planned.filter((position) => parkedIsCovered || position !== dead);
  const covered = rangesOf(known.sort((a, b) => a - b));
  return {
    ...state,
    cursor: log.readTo,
    gaps: createGaps(complementOf(covered, log.openFrom, log.readTo)),
    cutBefore: false,
    look: null,
    restarts: restarts + 1,
  };
}

function createCaptureSteps(bounds: CaptureBounds, guards: CaptureGuards) {
  const lookInto = ({ gaps, cutBefore }: State, everything: boolean) =>
    gaps.lookInto({ everything, atMost: cutBefore ? 2 * bounds.limit : Number.POSITIVE_INFINITY });

  /** The statement takes its snapshot: what it will find is settled. */
  function snapshot(state: State, everything: boolean): State {
    const { cursor, open } = state;
    const look = lookInto(state, everything);
    const wanted = committedOf(state).filter(
      (position) =>
        inRanges(look.ranges, position) || (position > cursor && !look.cutOff && guards.oneSnapshot),
    );
    const running = new Set(open.map(({ id }) => xidOf(id)));
    return {
      ...state,
      look: {
        everything,
        rows: wanted.slice(0, bounds.limit),
        cut: wanted.length >= bounds.limit,
        gateOpened: guards.gateIsChecked && look.gate.some((xid) => !running.has(xid)),
      },
    };
  }

  /** The answer arrives, with what the sequence says by now, and is planned. */
  function answer(state: State, pending: PendingLook): State {
    const gaps = state.gaps.fork();
    const look = lookInto({ ...state, gaps }, pending.everything);
    const { cursor } = state;
    const late = guards.oneSnapshot ? [] : committedOf(state).filter((position) => position > cursor);
    const rows = [...pending.rows, ...late].slice(0, bounds.limit);
    const result = resultOf(rows, { cut: pending.cut || rows.length >= bounds.limit, last: state.last });
    const reached = reachOf({ look, result, cursor }, guards);
    const openFrom = lowestGap({ gaps, result, cursor, readTo: reached });
    const judged = guards.cutOffCounts ? result : { ...result, cut: false };
    const told = { gaps: look, result: judged, readTo: reached, events: result.events };
    absorb(withoutNew(gaps, guards, rows), told, cursor);
    if (!guards.listedAfterSeen) gaps.listed(state.lastListing);
    const planned = plan({ ...state, gaps, cursor: reached, cutBefore: result.cut, look: null }, rows);
    return rows.length === 0 ? planned : { ...planned, log: { readTo: reached, openFrom } };
  }

  function list(state: State): State {
    const gaps = state.gaps.fork();
    const holders = holdersOf(state.open, guards.virtualTransactions);
    const looked = new Set(cohortsOf(gaps).flatMap((cohort) => (cohort.looked ? cohort.ranges : [])));
    gaps.listed(holders);
    if (!guards.lookAfterDeparture)
      for (const cohort of cohortsOf(gaps)) cohort.looked = cohort.ranges.every((edge) => looked.has(edge));
    return { ...state, gaps, lastListing: guards.listedAfterSeen ? state.lastListing : holders };
  }

  /** The product lists and looks again, and then with everything. Here it may do either at once, and look again unlisted. */
  function* afterVoid(state: State): Iterable<Step<State>> {
    const label = 'the look is void, a gated transaction has ended: it begins again';
    yield { label: `${label} with everything`, next: snapshot(state, true) };
    yield { label, next: { ...state, look: null } };
  }

  return function* steps(state: State): Iterable<Step<State>> {
    const { look } = state;
    if (look === null) yield { label: 'a look begins', next: snapshot(state, false) };
    else if (look.gateOpened) yield* afterVoid(state);
    else yield { label: describe(look), next: answer(state, look) };
    if (state.gaps.count > 0 && (look === null || !guards.listingBetweenLooks))
      yield { label: 'the holders are listed', next: list(state) };
  };
}

/** What is planned stays in the outbox. */
function committedOf({ visible, planned }: State): number[] {
  return [...visible, ...planned].sort((a, b) => a - b);
}

function describe({ rows }: PendingLook): string {
  return rows.length === 0
    ? 'the look returns, empty'
    : `the look returns ${rows.join(', ')}, they are planned`;
}

function plan(state: State, rows: readonly number[]): State {
  const planned = new Set(state.planned);
  const before = new Map(state.before);
  let { wrong } = state;
  for (const position of rows) {
    if (planned.has(position)) wrong ??= `TWICE: position ${position} is planned again`;
    const cause = before.get(position)?.find((one) => !planned.has(one));
    if (cause !== undefined)
      wrong ??= `ORDER: position ${position} is planned before ${cause}, whose commit it saw`;
    planned.add(position);
    before.delete(position);
  }
  for (const [position, causes] of before)
    before.set(
      position,
      causes.filter((cause) => !planned.has(cause)),
    );
  const visible = state.visible.filter((position) => !planned.has(position));
  return { ...state, planned: [...planned], visible, before, wrong };
}

function reachOf(read: Parameters<typeof reach>[0], { unseenIsGap, cutStopsCursor }: CaptureGuards): number {
  const { result, cursor } = read;
  if (!unseenIsGap) return Math.max(cursor, result.events.at(-1)?.position ?? 0);
  return reach(cutStopsCursor ? read : { ...read, result: { ...result, cut: false } });
}

/** The mutants forget new gaps: all of them, or those above the highest row that the look brought. */
function withoutNew(gaps: Gaps, guards: CaptureGuards, rows: readonly number[]): Gaps {
  if (guards.passedIsGap && guards.unseenIsGap) return gaps;
  const highest = rows.at(-1) ?? 0;
  return {
    ...gaps,
    add(ranges) {
      if (guards.unseenIsGap) gaps.add(below(ranges, highest));
    },
  };
}

function below(ranges: readonly number[], limit: number): number[] {
  const kept: number[] = [];
  for (let i = 0; i < ranges.length; i += 2)
    if ((ranges[i] ?? 0) < limit) kept.push(ranges[i] ?? 0, Math.min(ranges[i + 1] ?? 0, limit));
  return kept;
}

function resultOf(rows: readonly number[], { cut, last }: { cut: boolean; last: number }): ReadResult {
  const events = rows.map((position) => ({
    position,
    eventId: '',
    subject: '',
    key: null,
    type: null,
    headers: null,
    payload: new Uint8Array(),
    createdAtMs: 0,
  }));
  return { events, cut, lastPosition: last, segment: 0, gateOpened: false, straySegments: [], large: false };
}

function holdersOf(open: readonly Transaction[], virtual: boolean): Holders {
  const holders = open.flatMap(({ id, pid, locked }) => {
    const name = virtual ? `t${id}` : pid === null ? undefined : `pid${pid}`;
    return locked && name !== undefined ? [{ id: name, xid: xidOf(id) }] : [];
  });
  return new Map(holders.map((holder) => [holder.id, holder]));
}

function xidOf(id: number): bigint {
  return BigInt(700 + id);
}

function inRanges(ranges: readonly number[], position: number): boolean {
  for (let i = 0; i < ranges.length; i += 2)
    if (position >= (ranges[i] ?? 0) && position <= (ranges[i + 1] ?? 0)) return true;
  return false;
}

function cohortsOf(gaps: Gaps) {
  return gaps.lookInto({ everything: true, atMost: Number.POSITIVE_INFINITY }).cohorts;
}

/** Transactions by their place among the open ones: of those that are over only who shares one with whom matters. */
function key(state: State): string {
  const { open, planned, log, look, before, gaps } = state;
  const names = new Map<string, string>();
  for (const [i, { id }] of open.entries())
    for (const name of [`t${id}`, `pid${id}`]) names.set(name, `${i}`);
  const nameOf = (id: string) => {
    const known = names.get(id) ?? `e${names.size}`;
    names.set(id, known);
    return known;
  };
  const cohorts = [...cohortsOf(gaps)]
    .sort((a, b) => (a.ranges[0] ?? 0) - (b.ranges[0] ?? 0))
    .map(({ ranges, holders, looked }) => [
      ranges,
      holders && [...holders.keys()].map(nameOf).sort(),
      looked,
    ]);
  return JSON.stringify([
    state.begun,
    open.map(({ pid, locked, inserts, rows, id }) => [pid === null, locked, inserts, rows, id === 1]),
    state.last,
    [...before].sort(([a], [b]) => a - b),
    state.visible,
    planned.filter((position) => position >= log.openFrom).sort((a, b) => a - b),
    log,
    state.cursor,
    cohorts,
    state.cutBefore,
    look,
    [...state.lastListing.keys()].map(nameOf),
    state.restarts,
  ]);
}

const SMALL: CaptureBounds = {
  transactions: 3,
  insertsEach: 1,
  wide: 1,
  limit: 2,
  restarts: 0,
  rich: false,
  positions: 4,
};
const WIDE: CaptureBounds = { ...SMALL, wide: 200, positions: 202, limit: 3 };

const { holding, without } = studying({ model: captureModel, guards: ALL, maxStates: 300_000 });

export const captureStudy: Study = {
  name: 'capture',
  about: 'nothing committed is skipped or planned twice, and what saw a commit is planned after it',
  runs: [
    holding('three writers', SMALL, { maxStates: 200_000 }),
    holding('savepoints, prepared, limit 1', {
      ...SMALL,
      transactions: 2,
      insertsEach: 2,
      limit: 1,
      rich: true,
      positions: 3,
    }),
    holding('a restart', { ...SMALL, transactions: 2, insertsEach: 2, limit: 1, restarts: 1, positions: 3 }),
    holding(
      'two inserts each, savepoints, prepared, limit 1, a restart',
      { ...SMALL, transactions: 2, insertsEach: 2, limit: 1, rich: true, restarts: 1 },
      { quick: false, maxStates: 400_000 },
    ),
    holding(
      'three writers, savepoints, prepared, limit 1',
      { ...SMALL, limit: 1, rich: true, positions: 3 },
      { quick: false },
    ),
    holding('snapshot gate', WIDE, { maxStates: 400_000 }),
  ],
  mutants: [
    without('a gap closed by a read begun before the listing returned', {
      where: 'capture.ts, accept (R4)',
      removed: { listingBetweenLooks: false },
      of: SMALL,
    }),
    without('a gap closed by a read that its limit cut off', {
      where: 'capture.ts, lookedUpTo (C1)',
      removed: { cutOffCounts: false },
      of: { ...SMALL, limit: 1 },
    }),
    without('the first holders taken from a listing begun before the gap was seen', {
      where: 'gaps.ts, updateHolders (C1)',
      removed: { listedAfterSeen: false },
      of: SMALL,
    }),
    without('holders by pid instead of virtual transaction', {
      where: 'holders.ts, LIST_HOLDERS',
      removed: { virtualTransactions: false },
      of: { ...SMALL, rich: true },
    }),
    without('gate without a new look after a holder left', {
      where: 'gaps.ts, updateHolders (C3)',
      removed: { lookAfterDeparture: false },
      of: WIDE,
    }),
    without('gate without asking the snapshot whether its holders have ended', {
      where: 'capture.ts, readWhole; read.ts, gateOpened (C3)',
      removed: { gateIsChecked: false },
      of: WIDE,
    }),
    without('gaps and new rows read in two snapshots', {
      where: 'read.ts, readStatement (C2, R1)',
      removed: { oneSnapshot: false },
      of: SMALL,
    }),
    without('cursor passes invisible rows without leaving a gap', {
      where: 'capture.ts, absorb (R2)',
      removed: { passedIsGap: false },
      of: SMALL,
    }),
    without('cursor passes what the limit cut off', {
      where: 'capture.ts, reach (R2)',
      removed: { cutStopsCursor: false },
      of: { ...SMALL, limit: 1 },
      expect: 'redundant',
    }),
    without('parked positions forgotten in recovery', {
      where: 'recover.ts, coverageOf',
      removed: { parkedIsCovered: false },
      of: { ...SMALL, transactions: 2, positions: 2, restarts: 1, dead: 2 },
    }),
    without('plain cursor', {
      where: 'capture.ts, absorb',
      removed: { unseenIsGap: false },
      of: SMALL,
    }),
  ],
};
