import type { Batch } from '../../src/batch-log/batch.ts';
import { messageOf } from '../../src/errors.ts';
import { rangesOf } from '../../src/postgres/position-ranges.ts';
import { amendments, bury, compareWithStream, essenceOf, fateOf, fatesOf, logOf } from './chain-product.ts';
import {
  type Budget,
  type Cargo,
  endOf,
  type Leader,
  type LetterState,
  type Message,
  type Packet,
  settledToOf,
  spend,
  type World,
  type Writing,
  withLeader,
  withoutLeader,
} from './chain-world.ts';
import type { Model, Step } from './checker.ts';

/**
 * The batch log and the chain of expected sequences, with leaders that crash, are overtaken and meet their own old
 * packets. Comparing log and stream, placing, judging, burying and what is written down of it are the product's own;
 * the database (primary key, epoch, lock), the stream, the network and the handling of single answers are restated.
 */
export interface ChainBounds {
  readonly events: number;
  /** At most so many a row. */
  readonly batch: number;
  readonly poisoned: number | null;
  readonly budget: Budget;
  /** The duplicate table outlives a lost tail. */
  readonly tableOutlives: boolean;
  /** A lost tail means a restarted server: every connection is cut. Else nobody is told (a cluster has a new leader). */
  readonly restarts: boolean;
  /** The second event has the first one's id: a writer's own retry. */
  readonly sharedId: boolean;
  /** The server remembers ids that it refused for their expected sequence. */
  readonly phantomIds: boolean;
}

/** False takes a guard away. */
export interface ChainGuards {
  readonly writeAhead: boolean;
  readonly primaryKey: boolean;
  readonly epoch: boolean;
  readonly fence: boolean;
  readonly marker: boolean;
  readonly markerRowFirst: boolean;
  readonly parkedAfterMarker: boolean;
  readonly marksRecovered: boolean;
  readonly readBack: boolean;
  readonly sequenceCounts: boolean;
  readonly expectation: boolean;
  readonly duplicatesDoubted: boolean;
  readonly healsWithoutId: boolean;
  readonly probes: boolean;
  readonly retryWaits: boolean;
  readonly setbackLogged: boolean;
  readonly reconnectsNoticed: boolean;
}

export const ALL_GUARDS: ChainGuards = {
  writeAhead: true,
  primaryKey: true,
  epoch: true,
  fence: true,
  marker: true,
  markerRowFirst: true,
  parkedAfterMarker: true,
  marksRecovered: true,
  readBack: true,
  sequenceCounts: true,
  expectation: true,
  duplicatesDoubted: true,
  healsWithoutId: true,
  probes: true,
  retryWaits: true,
  setbackLogged: true,
  reconnectsNoticed: true,
};

export function chainModel(bounds: ChainBounds, guards: ChainGuards = ALL_GUARDS): Model<World> {
  const rules = { bounds, guards };
  return {
    initial: {
      log: [],
      leaseEpoch: 0,
      letters: new Map(),
      poisoned: bounds.poisoned,
      stream: [],
      ids: [],
      orphans: [],
      leaders: [],
      budget: bounds.budget,
      disturbed: false,
      retried: [],
      wrong: undefined,
    },
    async steps(world) {
      const steps: Step<World>[] = [...environmentSteps(world, rules)];
      for (const leader of world.leaders) steps.push(...(await leaderSteps(world, leader, rules)));
      return steps.map((step) => ({ ...step, next: tidy(step.next, rules) }));
    },
    key,
    violation: (world) =>
      world.wrong ?? misplaced(world) ?? buriedAlive(world, rules) ?? forgotten(world, rules),
    goal: (world) => isOver(world, rules),
  };
}

interface Rules {
  readonly bounds: ChainBounds;
  readonly guards: ChainGuards;
}

// --- What may happen to them -----------------------------------------------------------------------------------------

function* environmentSteps(world: World, rules: Rules): Iterable<Step<World>> {
  const { budget, leaders, orphans, stream, poisoned } = world;
  if (leaders.length === 0) yield { label: `L${world.leaseEpoch + 1} takes the lead`, next: elect(world) };
  else if (budget.zombies > 0 && leaders.length < 2)
    yield {
      label: `L${world.leaseEpoch + 1} takes the lead, L${world.leaseEpoch} does not notice`,
      next: elect(spend(world, 'zombies')),
      fault: true,
    };
  for (const [i, line] of orphans.entries()) {
    const [packet, ...rest] = line;
    if (packet === undefined) continue;
    const without = { ...world, orphans: orphans.with(i, rest) };
    const { after, outcome } = deliver(without, packet, rules);
    yield { label: `an old packet ${name(packet)} arrives: ${outcome.kind}`, next: after };
    yield {
      label: `the old packets from ${name(packet)} on are lost`,
      next: { ...world, orphans: orphans.toSpliced(i, 1) },
    };
  }
  if (budget.foreign > 0)
    yield {
      label: `another writer takes sequence ${stream.length + 1}`,
      next: { ...spend(world, 'foreign'), disturbed: true, stream: [...stream, FOREIGN] },
      fault: true,
    };
  if (budget.rewinds > 0)
    for (let kept = 0; kept < stream.length; kept++)
      yield {
        label: `the stream loses its tail from ${kept + 1} on`,
        next: rewind(world, kept, rules),
        fault: true,
      };
  if (budget.expiries > 0 && world.ids.length > 0)
    yield {
      label: 'the duplicate window passes',
      next: { ...spend(world, 'expiries'), ids: [] },
      fault: true,
    };
  if (poisoned !== null && budget.repairs > 0)
    yield {
      label: `e${poisoned} is refused no longer`,
      next: { ...spend(world, 'repairs'), poisoned: null },
    };
}

const FOREIGN: Message = { position: null, marker: false };

function elect(world: World): World {
  const fresh: Leader = {
    epoch: world.leaseEpoch + 1,
    mode: 'doubt',
    known: undefined,
    slots: [],
    settled: 0,
    last: undefined,
    refusal: null,
    writing: null,
    fates: [],
    line: [],
  };
  return { ...world, leaseEpoch: fresh.epoch, leaders: [...world.leaders, fresh] };
}

function rewind(world: World, kept: number, rules: Rules): World {
  const { bounds } = rules;
  const stream = world.stream.slice(0, kept);
  const ids = bounds.tableOutlives
    ? world.ids
    : world.ids.filter((id) => stream.some(({ position, marker }) => position === id && !marker));
  const after = { ...spend(world, 'rewinds'), stream, ids };
  return bounds.restarts ? cutOff(after, rules) : after;
}

/** The server was restarted: every connection is lost, with what it carried. */
function cutOff(world: World, rules: Rules): World {
  return {
    ...world,
    orphans: [],
    leaders: world.leaders.map((leader) => ({ ...startOver(leader, rules), line: [] })),
  };
}

type Answer =
  | { readonly kind: 'stored'; readonly sequence: number }
  | { readonly kind: 'duplicate' | 'wrong last sequence' | 'refused' };

/** The server's checks, in its order. */
function deliver(world: World, packet: Packet, { bounds, guards }: Rules): { after: World; outcome: Answer } {
  const { stream, ids, poisoned } = world;
  const { position, marker, id, sequence } = packet;
  const name = bounds.sharedId && position === 2 ? 1 : position;
  if (!marker && position === poisoned) return { after: world, outcome: { kind: 'refused' } };
  if (id && ids.includes(name)) return { after: world, outcome: { kind: 'duplicate' } };
  const remembered = id ? [...ids, name].sort((a, b) => a - b) : ids;
  if (guards.expectation && stream.length !== sequence - 1)
    return {
      after: bounds.phantomIds ? { ...world, ids: remembered } : world,
      outcome: { kind: 'wrong last sequence' },
    };
  return {
    after: { ...world, stream: [...stream, { position, marker }], ids: remembered },
    outcome: { kind: 'stored', sequence: stream.length + 1 },
  };
}

// --- What a leader does ----------------------------------------------------------------------------------------------

async function leaderSteps(world: World, leader: Leader, rules: Rules): Promise<Step<World>[]> {
  const who = `L${leader.epoch}`;
  const { budget } = world;
  const steps: Step<World>[] = [];
  const add = (label: string, next: World | undefined, fault = false) => {
    if (next !== undefined) steps.push({ label: `${who} ${label}`, next, fault });
  };
  const isZombie = leader.epoch !== world.leaseEpoch;
  if (isZombie) add('ends', withoutLeader(world, leader));
  else if (budget.crashes > 0) add('is killed', withoutLeader(spend(world, 'crashes'), leader), true);
  if (budget.reconnects > 0 && leader.line.length > 0) {
    const { line } = leader;
    const anew = { ...startOver(leader, rules), line: [] };
    const next = withLeader({ ...spend(world, 'reconnects'), orphans: [...world.orphans, line] }, anew);
    add('reconnects', next, true);
  }
  for (const step of answerSteps(world, leader, rules)) steps.push(step);
  if (leader.writing !== null) add(describe(leader.writing), commit(world, leader, leader.writing, rules));
  if (leader.fates.length > 0) add('writes down what became of dead letters', writeFates(world, leader));
  else if (leader.mode === 'doubt' && leader.writing === null) {
    try {
      add('compares log and stream', await compare(world, leader, rules));
    } catch (error) {
      add('compares log and stream', { ...world, wrong: `CRASH: ${messageOf(error)}` });
    }
  } else if (leader.writing === null) addPlans(world, leader, { ...rules, add });
  return steps;
}

function addPlans(
  world: World,
  leader: Leader,
  { add, bounds, guards }: Rules & { add: (label: string, next: World | undefined) => void },
): void {
  const from = (leader.last?.readTo ?? 0) + 1;
  for (let count = 1; count <= bounds.batch && from + count - 1 <= bounds.events; count++) {
    const positions = Array.from({ length: count }, (_, i) => from + i);
    add(
      `plans ${slotsOf(positions, endOf(leader) + 1)}`,
      plan(world, leader, { kind: 'new', positions, guards }),
    );
  }
  const idle = pendingOf(leader) === 0;
  const parked = [...world.letters].find(([, state]) => state === 'parked')?.[0];
  if (parked !== undefined && world.poisoned === null && (idle || !guards.retryWaits))
    add(
      `plans the retry ${slotsOf([parked], endOf(leader) + 1)}`,
      plan(world, leader, { kind: 'retry', positions: [parked], guards }),
    );
  if (guards.probes && idle && !agrees(world, leader))
    add('finds the stream longer or shorter than it should be', withLeader(world, inDoubt(leader)));
}

function agrees({ stream }: World, leader: Leader): boolean {
  return stream.length === endOf(leader);
}

function pendingOf({ slots, settled }: Leader): number {
  return slots.length - settled;
}

function inDoubt(leader: Leader): Leader {
  return { ...leader, mode: 'doubt', line: leader.line.map((packet) => ({ ...packet, counts: false })) };
}

/** After a reconnect: what is being written down of a comparison is worth nothing any more, as far as flowing goes. */
function startOver(leader: Leader, { guards }: Rules): Leader {
  const { writing } = leader;
  const overtaken = writing !== null && writing.amends !== null && guards.reconnectsNoticed;
  return inDoubt(overtaken ? { ...leader, writing: { ...writing, cargo: [], amends: null } } : leader);
}

function plan(
  world: World,
  leader: Leader,
  { kind, positions, guards }: { kind: 'new' | 'retry'; positions: readonly number[]; guards: ChainGuards },
): World {
  if (guards.epoch && leader.epoch !== world.leaseEpoch) return withoutLeader(world, leader);
  const log = logOf({ epoch: leader.epoch, settledTo: settledToOf(leader), last: leader.last });
  const first = endOf(leader) + 1;
  const readTo = positions.at(-1) ?? 0;
  const row = log.next({
    kind,
    first,
    last: first + positions.length - 1,
    positions: rangesOf(positions),
    ...(kind === 'new' ? { reading: { readTo, openFrom: readTo + 1 } } : {}),
  });
  const cargo = positions.map((position) => ({ position, marker: false, id: kind === 'new' }));
  const letters = kind === 'retry' ? positions.map((position) => [position, 'retrying'] as const) : [];
  const writing: Writing = { rows: [row], letters, cargo: guards.writeAhead ? cargo : [], amends: null };
  const planned = { ...leader, writing };
  const retried = kind === 'retry' ? [...world.retried, ...positions] : world.retried;
  return withLeader({ ...world, retried }, guards.writeAhead ? planned : send(planned, cargo));
}

/** Into the slots behind the end, and on their way at once. */
function send(leader: Leader, cargo: readonly Cargo[]): Leader {
  const first = endOf(leader) + 1;
  const packets =
    leader.mode === 'flow' ? cargo.map((one, i) => ({ ...one, sequence: first + i, counts: true })) : [];
  return { ...leader, slots: [...leader.slots, ...cargo], line: [...leader.line, ...packets] };
}

/** The statement commits, unless another leader has written this batch. */
function commit(world: World, leader: Leader, writing: Writing, { guards }: Rules): World {
  const taken = new Set(world.log.map(({ batch }) => batch));
  if (guards.primaryKey && writing.rows.some(({ batch }) => taken.has(batch)))
    return withoutLeader(world, leader);
  const after: World = {
    ...world,
    log: [...world.log, ...writing.rows].sort((a, b) => a.batch - b.batch),
    letters: new Map([...world.letters, ...writing.letters]),
  };
  const written = { ...leader, writing: null, last: writing.rows.at(-1) ?? leader.last };
  if (writing.amends === null) return withLeader(after, send(written, writing.cargo));
  return withLeader(after, flow(written, writing.amends, writing.cargo));
}

function flow(leader: Leader, known: Leader['known'], cargo: readonly Cargo[]): Leader {
  return send({ ...leader, mode: 'flow', known, slots: [], settled: 0 }, cargo);
}

async function compare(world: World, leader: Leader, rules: Rules): Promise<World | undefined> {
  const { guards } = rules;
  if (leader.known === undefined && guards.fence) {
    const older = world.leaders.some(({ epoch, writing }) => epoch < leader.epoch && writing !== null);
    if (older) return undefined; // The lock waits for their commit.
    if (leader.epoch !== world.leaseEpoch) return withoutLeader(world, leader);
  }
  const known = leader.known && { settledTo: settledToOf(leader), decided: leader.known.decided };
  const seen = guards.readBack ? world.stream : presumed(world);
  return writeDown(world, leader, { rules, result: await compareWithStream(world.log, seen, known) });
}

/** As `stream-outlet.ts` takes over what a comparison found. */
async function writeDown(
  world: World,
  leader: Leader,
  { rules: { guards }, result }: { rules: Rules; result: Awaited<ReturnType<typeof compareWithStream>> },
): Promise<World> {
  const buried = await bury(guards.marker ? leader.refusal : null, result.refill);
  const last = world.log.at(-1);
  const log = logOf({ epoch: leader.epoch, settledTo: result.settledTo, last });
  const { rows, refill } = amendments(log, result, {
    slots: buried.refill,
    believed: guards.setbackLogged ? (last?.settledTo ?? null) : null,
  });
  const dead = buried.letters.map(({ position }) => [position, 'marking'] as const);
  const cargo = refill.map(({ position, what }) => ({
    position,
    marker: what === 'marker',
    id: what === 'event' && !guards.healsWithoutId,
  }));
  const fates = fatesOf(result, world.letters).filter(
    ([, fate]) => guards.marksRecovered || fate !== 'parked' || leader.known !== undefined,
  );
  const amends = { settledTo: result.settledTo, decided: result.decided };
  const judged: Leader = { ...leader, refusal: null, last, fates, known: amends, slots: [], settled: 0 };
  if (!guards.marker && leader.refusal !== null)
    return shorten(world, { ...judged, refusal: leader.refusal }, { ...result, amends });
  if (!guards.markerRowFirst) return markUnlogged(world, judged, { rows, dead, cargo, amends, guards });
  const letters = guards.parkedAfterMarker ? dead : dead.map(([position]) => [position, 'parked'] as const);
  return beginWriting(world, judged, { writing: { rows, letters, cargo, amends }, guards });
}

function beginWriting(
  world: World,
  leader: Leader,
  { writing, guards }: { writing: Writing; guards: ChainGuards },
): World {
  if (writing.rows.length === 0)
    return withLeader(world, flow(leader, writing.amends ?? undefined, writing.cargo));
  if (guards.epoch && leader.epoch !== world.leaseEpoch) return withoutLeader(world, leader);
  return withLeader(world, { ...leader, writing });
}

/** Without a read-back: what the last sequence covers is taken for what was planned. */
function presumed({ log, stream }: World): readonly Message[] {
  const planned: Message[] = [];
  for (const { kind, firstSequence, positions } of log) {
    let sequence = firstSequence;
    for (let i = 0; i < positions.length; i += 2)
      for (let position = positions[i] ?? 0; position <= (positions[i + 1] ?? 0); position++)
        planned[sequence++ - 1] = { position, marker: kind === 'marker' };
  }
  return stream.map((message, i) => planned[i] ?? message);
}

/** The mutant's way with a refused event: it is parked, and those behind it move up. */
function shorten(
  world: World,
  leader: Leader,
  {
    refill,
    amends,
  }: { refill: readonly { position: number; what: string }[]; amends: NonNullable<Writing['amends']> },
): World {
  const { refusal, last } = leader;
  const dead = refusal?.position ?? 0;
  const rest = refill.filter(({ position }) => position !== dead).map(({ position }) => position);
  const log = logOf({ epoch: leader.epoch, settledTo: amends.settledTo, last });
  const first = amends.decided + 1;
  const row = log.next({ kind: 'again', first, last: first + rest.length - 1, positions: rangesOf(rest) });
  const cargo = rest.map((position) => ({ position, marker: false, id: false }));
  const letters = [[dead, 'parked' as const]] as const;
  return withLeader(world, { ...leader, refusal: null, writing: { rows: [row], letters, cargo, amends } });
}

/** The mutant's way with markers: they are sent, and nothing says so. */
function markUnlogged(
  world: World,
  leader: Leader,
  {
    rows,
    dead,
    cargo,
    amends,
    guards,
  }: {
    rows: readonly Batch[];
    dead: readonly (readonly [number, LetterState])[];
    cargo: readonly Cargo[];
    amends: NonNullable<Writing['amends']>;
    guards: ChainGuards;
  },
): World {
  const logged = rows.filter(({ kind }) => kind !== 'marker');
  const letters = new Map([...world.letters, ...dead]);
  const writing: Writing = { rows: logged, letters: [], cargo, amends };
  return beginWriting({ ...world, letters }, leader, { writing, guards });
}

function writeFates(world: World, leader: Leader): World {
  if (leader.epoch !== world.leaseEpoch) return withoutLeader(world, leader);
  return withLeader(
    { ...world, letters: new Map([...world.letters, ...leader.fates]) },
    { ...leader, fates: [] },
  );
}

/** Its oldest packet arrives, and the answer comes back or does not. */
function* answerSteps(world: World, leader: Leader, rules: Rules): Iterable<Step<World>> {
  const [packet, ...rest] = leader.line;
  if (packet === undefined) return;
  const sent = { ...leader, line: rest };
  const { after, outcome } = deliver(withLeader(world, sent), packet, rules);
  const label = `L${leader.epoch}'s packet ${name(packet)} arrives: ${outcome.kind}`;
  const heard = packet.counts ? hear(after, sent, packet, { outcome, guards: rules.guards }) : sent;
  yield { label, next: withLeader(after, heard) };
  if (packet.counts && world.budget.lostAcks > 0)
    yield {
      label: `${label}, and the answer is lost`,
      next: withLeader(spend(after, 'lostAcks'), inDoubt(sent)),
      fault: true,
    };
}

/** As `chain.ts` takes answers. */
function hear(
  world: World,
  leader: Leader,
  packet: Packet,
  { outcome, guards }: { outcome: Answer; guards: ChainGuards },
): Leader {
  if (outcome.kind === 'stored' && (outcome.sequence === packet.sequence || !guards.sequenceCounts))
    return settle(world, leader, packet);
  if (outcome.kind === 'duplicate' && !guards.duplicatesDoubted) return settle(world, leader, packet);
  if (outcome.kind !== 'refused') return inDoubt(leader);
  const { sequence, position } = packet;
  return { ...inDoubt(leader), refusal: leader.refusal ?? { sequence, position } };
}

function settle(world: World, leader: Leader, { position, marker }: Packet): Leader {
  const fates = fateOf(world.letters, position, marker ? 'marker' : 'event');
  return { ...leader, settled: leader.settled + 1, fates: [...leader.fates, ...fates] };
}

// --- What must hold --------------------------------------------------------------------------------------------------

/** Twice, without a plan, or out of order. */
function misplaced({ stream, log, disturbed, retried }: World): string | undefined {
  let highest = 0;
  const seen = new Set<number>();
  for (const [i, { position, marker }] of stream.entries()) {
    if (position === null || marker) continue;
    if (seen.has(position)) return `TWICE: e${position} is stored again at ${i + 1}`;
    seen.add(position);
    if (!log.some((row) => holds(row, position)))
      return `UNPLANNED: e${position} is stored, and no row names it`;
    if (retried.includes(position)) continue;
    if (position < highest && !disturbed) return `ORDER: e${position} is stored behind e${highest}`;
    highest = Math.max(highest, position);
  }
  return undefined;
}

/** After a lost tail an old packet may be quicker than the relay: then it is asked once the relay has looked. */
function buriedAlive(world: World, rules: Rules): string | undefined {
  if (rules.bounds.budget.rewinds > 0 && !isAtRest(world, rules)) return undefined;
  const dead = world.stream.find(
    ({ position, marker }) => !marker && position !== null && world.letters.get(position) === 'parked',
  );
  return dead && `PARKED: e${dead.position} is a dead letter, and it is stored`;
}

function holds({ positions }: Batch, position: number): boolean {
  for (let i = 0; i < positions.length; i += 2)
    if (position >= (positions[i] ?? 0) && position <= (positions[i + 1] ?? 0)) return true;
  return false;
}

/** The leader has nothing to do and no reason to look, and yet an event is neither stored nor a dead letter. */
function forgotten(world: World, rules: Rules): string | undefined {
  if (!isAtRest(world, rules)) return undefined;
  const missing = missingOf(world, rules);
  return missing.length === 0 ? undefined : `LOST: e${missing[0]} is nowhere, and nobody will look`;
}

function isAtRest(world: World, { bounds, guards }: Rules): boolean {
  const leader = world.leaders.find(({ epoch }) => epoch === world.leaseEpoch);
  if (leader === undefined || leader.mode !== 'flow' || leader.writing !== null) return false;
  if (leader.fates.length > 0 || pendingOf(leader) > 0) return false;
  return (leader.last?.readTo ?? 0) === bounds.events && (agrees(world, leader) || !guards.probes);
}

function missingOf({ stream, letters }: World, { bounds }: Rules): number[] {
  const stored = new Set(stream.filter(({ marker }) => !marker).map(({ position }) => position));
  return Array.from({ length: bounds.events }, (_, i) => i + 1).filter(
    (position) => !stored.has(position) && letters.get(position) !== 'parked',
  );
}

function isOver(world: World, rules: Rules): boolean {
  return isAtRest(world, rules) && missingOf(world, rules).length === 0 && world.leaders.length === 1;
}

// --- What cannot matter ----------------------------------------------------------------------------------------------

/** Old packets that no stream will ever take are dropped. */
function tidy(world: World, { bounds, guards }: Rules): World {
  const { budget, stream } = world;
  const hopeless = ({ sequence }: Packet) =>
    guards.expectation && budget.rewinds === 0 && !bounds.phantomIds && sequence <= stream.length;
  const orphans = world.orphans
    .map((line) => line.filter((packet) => !hopeless(packet)))
    .filter((line) => line.length > 0);
  return { ...world, orphans };
}

function key(world: World): string {
  const { log, leaseEpoch, letters, stream, ids, orphans, leaders, budget } = world;
  const packet = ({ sequence, position, marker, id }: Packet) => [sequence, position, marker, id];
  return JSON.stringify([
    log.map(essenceOf),
    leaders.map(({ epoch, last, writing, line, ...rest }) => [
      leaseEpoch - epoch,
      last?.batch,
      last && essenceOf(last),
      writing && [writing.rows.map(essenceOf), writing.letters, writing.cargo, writing.amends],
      line.map((one) => [...packet(one), one.counts]),
      rest,
    ]),
    [...letters],
    world.poisoned,
    stream.map(({ position, marker }) => [position, marker]),
    ids,
    orphans.map((line) => JSON.stringify(line.map(packet))).sort(),
    budget,
    world.disturbed,
    world.retried,
  ]);
}

// --- Words -----------------------------------------------------------------------------------------------------------

function name({ position, marker, sequence }: Pick<Packet, 'position' | 'marker' | 'sequence'>): string {
  return `${marker ? 'm' : 'e'}${position}@${sequence}`;
}

function slotsOf(positions: readonly number[], first: number): string {
  return positions.map((position, i) => `e${position}@${first + i}`).join(', ');
}

function describe({ rows }: Writing): string {
  const words = rows.map(({ kind, positions, firstSequence }) => {
    const named = positions.length === 0 ? 'nothing' : `e${positions[0]}`;
    const to = positions.length > 0 && positions.at(-1) !== positions[0] ? `..e${positions.at(-1)}` : '';
    return `${kind} ${named}${to}@${firstSequence}`;
  });
  return `commits ${words.join('; ')}`;
}
