import type { LaneProgress } from '../batch-log/activity.ts';
import { beforeNewest, type Plan, plansOf } from '../batch-log/plans-of.ts';
import { type OutboxQuery, type OutboxRow, outboxPage } from '../outbox/recent.ts';
import { includes, sizeOf, within } from '../postgres/position-ranges.ts';
import type { Session } from '../postgres/session.ts';
import type { Connections, Seen } from './connections.ts';
import type { BrokerView } from './system.ts';

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

/** Committed; `planned`; `set-aside` as a dead letter or behind one; `stored`, where the stream says so. */
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
  readonly lanes: readonly LaneProgress[];
  readonly broker: Seen<BrokerView>;
}

/** Events of the outbox with what became of them, as far as the newest rows of the log tell. */
export function lookAtEvents(
  { connections, lanes, broker }: EventLook,
  query: OutboxQuery,
): Promise<Seen<EventPage>> {
  return connections.database(async (session) => {
    const { rows, lookedTo } = await outboxPage(session, query);
    const plans = await plansFor(session, { lanes, rows });
    return { events: rows.map((row) => withPlan(row, plans, broker)), lookedTo };
  });
}

async function plansFor(
  session: Session,
  { lanes, rows }: { lanes: readonly LaneProgress[]; rows: readonly OutboxRow[] },
): Promise<Plan[]> {
  const positions = rows.map(({ position }) => position);
  if (positions.length === 0) return [];
  const range = { from: Math.min(...positions), to: Math.max(...positions) };
  const plans: Plan[] = [];
  for (const { stream, batch } of lanes)
    plans.push(...(await plansOf(session, { stream, after: beforeNewest(batch), ...range })));
  return plans;
}

export function withPlan(row: OutboxRow, plans: readonly Plan[], broker: Seen<BrokerView>): ListedEvent {
  const { position } = row;
  // The last one counts: a retry is planned again.
  const plan = plans.findLast(({ positions }) => includes(positions, position));
  if (plan !== undefined) {
    const planned = plannedAt(plan, position);
    return { ...row, planned, state: isStored(planned, broker) ? 'stored' : 'planned' };
  }
  const parked = plans.some((one) => includes(one.parked, position));
  return { ...row, planned: null, state: parked ? 'set-aside' : 'committed' };
}

export function plannedAt(plan: Plan, position: number): PlannedAt {
  const { stream, incarnation, ordering, kind, batch, epoch, plannedAtMs: atMs, firstSequence } = plan;
  const before = ordering === 'stream' ? sizeOf(within(plan.positions, 0, position - 1)) : 0;
  return { stream, incarnation, ordering, kind, batch, epoch, atMs, sequence: firstSequence + before };
}

/** Outside `stream` ordering only the stream itself, message by message, could tell. */
function isStored({ stream, incarnation, ordering, sequence }: PlannedAt, broker: Seen<BrokerView>): boolean {
  if (broker.kind !== 'seen' || ordering !== 'stream') return false;
  const seen = broker.value.streams.find(({ name }) => name === stream);
  if (seen === undefined || !('state' in seen)) return false;
  return seen.state.created === incarnation && sequence <= seen.state.lastSequence;
}
