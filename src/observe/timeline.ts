import { batchBefore } from '../batch-log/log-pages.ts';
import { beforeNewest, type Plan, plansOf } from '../batch-log/plans-of.ts';
import { inboxConsumers, recordedEffects } from '../inbox/effects.ts';
import { type BrokerLink, type StoredMessage, storedMessage, subjectMatches } from '../jetstream/index.ts';
import { type OutboxRow, outboxRows } from '../outbox/recent.ts';
import { includes } from '../postgres/position-ranges.ts';
import type { Session } from '../postgres/session.ts';
import type { EventLook, PlannedAt } from './events.ts';
import { plannedAt } from './events.ts';
import type { StreamView } from './system.ts';

/** A message that carries the event; a replay makes another one. */
export interface StoredAt {
  readonly stream: string;
  readonly sequence: number;
  readonly atMs: number;
}

/** A consumer that the event concerns, and how far it is with it. */
export interface ConsumerStep {
  readonly stream: string;
  readonly durable: string;
  readonly state: 'done' | 'delivered' | 'waiting';
  /** When its inbox, if that is in this database, recorded the event. */
  readonly recordedAtMs: number | null;
}

/** What became of one event, step by step. */
export interface Timeline {
  /** Null: the outbox does not hold it any more. */
  readonly row: OutboxRow | null;
  readonly planned: readonly PlannedAt[];
  readonly stored: readonly StoredAt[];
  readonly consumers: readonly ConsumerStep[];
  /** Inboxes of this database that have recorded it, whatever their consumers are. */
  readonly effects: readonly { readonly consumer: string; readonly atMs: number }[];
}

/** Messages that are looked at where the plan does not say the place. */
const SEARCHED_AT_MOST = 512;

/** Undefined: there is no such position in the outbox or its log. */
export async function lookAtTimeline(look: EventLook, position: number): Promise<Timeline | undefined> {
  const { connections, lanes } = look;
  const known = await connections.database(async (session) => {
    const [row = null] = await outboxRows(session, [position]);
    const plans: Plan[] = [];
    for (const lane of lanes) plans.push(...(await allPlansOf(session, lane, position)));
    const consumers = await inboxConsumers(session);
    const effects =
      row === null ? [] : await recordedEffects(session, { consumers, eventIds: [row.eventId] });
    return { row, planned: plans.map((plan) => plannedAt(plan, position)), effects };
  });
  if (known.kind !== 'seen') throw new Error(known.reason);
  const { row, planned, effects } = known.value;
  if (row === null && planned.length === 0) return undefined;
  const found = await connections.broker((link) => storedFor(link, planned, position));
  const stored = found.kind === 'seen' ? found.value : [];
  return {
    row,
    planned,
    stored: stored.map(({ stream, message }) => ({
      stream,
      sequence: message.sequence,
      atMs: message.storedAtMs,
    })),
    consumers: consumersOf(look, stored, effects),
    effects: effects.map(({ consumer, atMs }) => ({ consumer, atMs })),
  };
}

/** Among the rows around where it was read, and the newest: a replay or a retry comes long after. */
async function allPlansOf(
  session: Session,
  { stream, batch }: EventLook['lanes'][number],
  position: number,
): Promise<Plan[]> {
  const range = { stream, from: position, to: position };
  const first = await batchBefore(session, { stream, batch }, position);
  const early = await plansOf(session, { ...range, after: first });
  const late = await plansOf(session, { ...range, after: Math.max(first, beforeNewest(batch)) });
  const known = new Set(early.map((plan) => plan.batch));
  return [...early, ...late.filter((plan) => !known.has(plan.batch))].filter(({ positions }) =>
    includes(positions, position),
  );
}

interface Stored {
  readonly stream: string;
  readonly message: StoredMessage;
}

async function storedFor(
  link: BrokerLink,
  planned: readonly PlannedAt[],
  position: number,
): Promise<Stored[]> {
  const stored: Stored[] = [];
  for (const { stream, sequence, ordering } of planned) {
    const to = ordering === 'stream' ? sequence : sequence + SEARCHED_AT_MOST;
    for (let at = sequence; at <= to; at++) {
      const message = await storedMessage(link, { stream, sequence: at });
      if (message?.position === position) stored.push({ stream, message });
      if (message === undefined || message.position === position) break;
    }
  }
  return stored;
}

function consumersOf(
  { broker }: EventLook,
  stored: readonly Stored[],
  effects: readonly { readonly consumer: string; readonly atMs: number }[],
): ConsumerStep[] {
  if (broker.kind !== 'seen') return [];
  return stored.flatMap(({ stream, message }) => {
    const view = broker.value.streams.find(({ name }) => name === stream);
    if (view === undefined || !('state' in view) || view.durables.kind !== 'seen') return [];
    return view.durables.value
      .filter(({ subjects }) => concerns(subjects, message.subject))
      .map((durable) => {
        const recordedAtMs = effects.find(({ consumer }) => consumer === durable.name)?.atMs ?? null;
        const state = recordedAtMs === null ? stateOf(durable, message.sequence) : 'done';
        return { stream, durable: durable.name, state, recordedAtMs };
      });
  });
}

function concerns(subjects: readonly string[], subject: string): boolean {
  return subjects.length === 0 || subjects.some((pattern) => subjectMatches(pattern, subject));
}

function stateOf(
  { ackFloor, delivered }: Extract<StreamView['durables'], { kind: 'seen' }>['value'][number],
  sequence: number,
): ConsumerStep['state'] {
  if (sequence <= ackFloor) return 'done';
  return sequence <= delivered ? 'delivered' : 'waiting';
}
