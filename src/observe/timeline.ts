import type { Plan } from '../batch-log/plans-of.ts';
import { inboxConsumers, type RecordedEffect, recordedEffects } from '../inbox/effects.ts';
import { type BrokerLink, type StoredMessage, storedMessage, subjectMatches } from '../jetstream/index.ts';
import { type OutboxRow, outboxRows } from '../outbox/recent.ts';
import { includes } from '../postgres/position-ranges.ts';
import type { Seen } from './connections.ts';
import { type EventLook, type PlannedAt, plannedAt, plansIn } from './events.ts';
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
const SEARCHED_AT_MOST = 50;

/** Undefined: there is no such position in the outbox or its log. */
export async function lookAtTimeline(look: EventLook, position: number): Promise<Seen<Timeline | undefined>> {
  const { connections, lanes } = look;
  const known = await connections.database(async (session) => {
    const [row = null] = await outboxRows(session, [position]);
    const plans: Plan[] = [];
    for (const lane of lanes) plans.push(...(await plansIn(session, lane, { from: position, to: position })));
    const planned = distinct(plans).filter(({ positions }) => includes(positions, position));
    return { row, planned: planned.map((plan) => plannedAt(plan, position)) };
  });
  if (known.kind !== 'seen') return known;
  const { row, planned } = known.value;
  if (row === null && planned.length === 0) return { kind: 'seen', value: undefined };
  const found = await connections.broker((link) =>
    storedFor(link, planned, { position, subject: row?.subject }),
  );
  const stored = found.kind === 'seen' ? found.value : [];
  const effects = await effectsOf(look, row?.eventId ?? stored[0]?.message.eventId ?? undefined);
  const value: Timeline = {
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
  return { kind: 'seen', value };
}

function distinct(plans: readonly Plan[]): Plan[] {
  const byBatch = new Map(plans.map((plan) => [`${plan.stream} ${plan.batch}`, plan]));
  return [...byBatch.values()].sort((one, other) => one.plannedAtMs - other.plannedAtMs);
}

async function effectsOf({ connections }: EventLook, eventId: string | undefined): Promise<RecordedEffect[]> {
  if (eventId === undefined) return [];
  const found = await connections.database(async (session) =>
    recordedEffects(session, { consumers: await inboxConsumers(session), eventIds: [eventId] }),
  );
  return found.kind === 'seen' ? found.value : [];
}

interface Stored {
  readonly stream: string;
  readonly message: StoredMessage;
}

async function storedFor(
  link: BrokerLink,
  planned: readonly PlannedAt[],
  event: { readonly position: number; readonly subject: string | undefined },
): Promise<Stored[]> {
  const stored: Stored[] = [];
  for (const { stream, sequence, ordering, kind } of planned) {
    const message =
      ordering === 'stream'
        ? await storedMessage(link, { stream, sequence })
        : await searched(link, { stream, from: sequence, ...event });
    const isKnown = stored.some((one) => one.stream === stream && one.message.sequence === message?.sequence);
    if (kind !== 'marker' && message?.position === event.position && !isKnown)
      stored.push({ stream, message });
  }
  return stored;
}

/** Where the plan names no place: message by message of its subject from where it may lie. */
async function searched(
  link: BrokerLink,
  place: {
    readonly stream: string;
    readonly from: number;
    readonly position: number;
    readonly subject: string | undefined;
  },
): Promise<StoredMessage | undefined> {
  const { stream, position, subject } = place;
  let sequence = place.from;
  for (let i = 0; i < SEARCHED_AT_MOST; i++) {
    const message = await storedMessage(link, {
      stream,
      sequence,
      ...(subject === undefined ? {} : { subject }),
    });
    if (message === undefined || message.position === position) return message;
    sequence = message.sequence + 1;
  }
  return undefined;
}

function consumersOf(
  { broker }: EventLook,
  stored: readonly Stored[],
  effects: readonly { readonly consumer: string; readonly atMs: number }[],
): ConsumerStep[] {
  if (broker.kind !== 'seen') return [];
  // A replay is another message of the same event: the first one counts.
  const first = stored.filter((one, i) => stored.findIndex(({ stream }) => stream === one.stream) === i);
  return first.flatMap(({ stream, message }) => {
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
