import type { Batch } from '../batch-log/batch.ts';
import { batchBefore } from '../batch-log/log-pages.ts';
import { beforeNewest, type Plan, plansOf } from '../batch-log/plans-of.ts';
import { settledLogs } from '../batch-log/settled.ts';
import { openLettersAt } from '../dead-letters/tally.ts';
import { type OutboxQuery, type OutboxRow, outboxPage } from '../outbox/recent.ts';
import { includes, sizeOf, within } from '../postgres/position-ranges.ts';
import type { Session } from '../postgres/session.ts';
import type { Connections, Seen } from './connections.ts';
import { type BrokerView, settledBy } from './system.ts';

/** Where an event was planned, once it was. */
export interface PlannedAt {
  readonly stream: string;
  readonly incarnation: string;
  readonly ordering: string;
  readonly kind: string;
  readonly batch: number;
  readonly epoch: number;
  readonly atMs: number;
  /** In `stream` ordering its place. Elsewhere the first it may have. */
  readonly sequence: number;
}

/** Committed; planned; set aside as a dead letter or behind one; stored, as far as log and stream say so. */
export type EventState = 'committed' | 'planned' | 'set-aside' | 'stored';

export interface ListedEvent extends OutboxRow {
  readonly state: EventState;
  readonly planned: PlannedAt | null;
}

export interface EventPage {
  readonly events: readonly ListedEvent[];
  /** Where the next page goes on; null: nothing is beyond. */
  readonly lookedTo: number | null;
}

export interface EventLook {
  readonly connections: Connections;
  /** The newest row of each stream's log. */
  readonly lanes: readonly Batch[];
  readonly broker: Seen<BrokerView>;
}

/** Events of the outbox with what became of them. */
export function lookAtEvents(
  { connections, lanes, broker }: EventLook,
  query: OutboxQuery,
): Promise<Seen<EventPage>> {
  return connections.database(async (session) => {
    const { rows, lookedTo } = await outboxPage(session, query);
    const plans = await plansFor(session, { lanes, rows });
    const aside = new Set(
      await openLettersAt(
        session,
        rows.map(({ position }) => position),
      ),
    );
    const isStored = storedTest(lanes, broker);
    return { events: rows.map((row) => withPlan(row, { plans, aside, isStored })), lookedTo };
  });
}

/** Around where these positions were read, and among the newest rows: a retry comes long after. */
async function plansFor(
  session: Session,
  { lanes, rows }: { lanes: readonly Batch[]; rows: readonly OutboxRow[] },
): Promise<Plan[]> {
  const positions = rows.map(({ position }) => position);
  if (positions.length === 0) return [];
  const range = { from: Math.min(...positions), to: Math.max(...positions) };
  const plans = new Map<string, Plan>();
  for (const lane of lanes)
    for (const plan of await plansIn(session, lane, range)) plans.set(`${plan.stream} ${plan.batch}`, plan);
  return [...plans.values()].sort((one, other) => one.plannedAtMs - other.plannedAtMs);
}

/** The rows of one stream that name positions of a range: those around where it was read, and of the newest. */
export async function plansIn(
  session: Session,
  { stream, batch }: Pick<Batch, 'stream' | 'batch'>,
  range: { from: number; to: number },
): Promise<Plan[]> {
  const first = await batchBefore(session, { stream, batch }, range.from);
  const end = await batchBefore(session, { stream, batch }, range.to + 1);
  const newest = beforeNewest(batch);
  const plans = await plansOf(session, { stream, after: first, ...range });
  // A page of a filter may span more than one look takes in.
  if (beforeNewest(end) > first)
    plans.push(...(await plansOf(session, { stream, after: beforeNewest(end), ...range })));
  if (newest > first) plans.push(...(await plansOf(session, { stream, after: newest, ...range })));
  return plans;
}

interface Known {
  /** Oldest first. */
  readonly plans: readonly Plan[];
  /** Positions of dead letters that await something. */
  readonly aside: ReadonlySet<number>;
  readonly isStored: (planned: PlannedAt) => boolean;
}

function withPlan(row: OutboxRow, { plans, aside, isStored }: Known): ListedEvent {
  const { position } = row;
  // A marker stands where the event is not.
  const named = plans
    .filter(({ kind, positions }) => kind !== 'marker' && includes(positions, position))
    .map((plan) => plannedAt(plan, position));
  const planned = named.findLast(isStored) ?? named.at(-1) ?? null;
  if (aside.has(position)) return { ...row, planned, state: 'set-aside' };
  if (planned !== null) return { ...row, planned, state: isStored(planned) ? 'stored' : 'planned' };
  const parked = plans.some((plan) => plan.kind === 'marker' || includes(plan.parked, position));
  return { ...row, planned: null, state: parked ? 'set-aside' : 'committed' };
}

export function plannedAt(plan: Plan, position: number): PlannedAt {
  const { stream, incarnation, ordering, kind, batch, epoch, plannedAtMs: atMs, firstSequence } = plan;
  const before = ordering === 'stream' ? sizeOf(within(plan.positions, 0, position - 1)) : 0;
  return { stream, incarnation, ordering, kind, batch, epoch, atMs, sequence: firstSequence + before };
}

/** By what the log knows to be settled; what belongs to an older incarnation of a stream was, or was planned again. */
function storedTest(lanes: readonly Batch[], broker: Seen<BrokerView>): (planned: PlannedAt) => boolean {
  const logs = settledLogs(lanes, settledBy(lanes, broker));
  return ({ stream, incarnation, ordering, kind, batch, sequence }) => {
    const log = logs.find((one) => one.stream === stream);
    if (log === undefined) return false;
    if (log.incarnation !== incarnation || kind === 'found') return true;
    return ordering === 'stream' ? sequence <= (log.settledTo ?? 0) : batch <= (log.settledBatch ?? 0);
  };
}
