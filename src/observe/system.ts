import { type LaneProgress, laneProgress } from '../batch-log/activity.ts';
import { type LetterTally, tallyLetters } from '../dead-letters/tally.ts';
import { inboxConsumers } from '../inbox/effects.ts';
import { type DurableView, listDurables, lookUpStream, type StreamState } from '../jetstream/index.ts';
import { type ConsumerSeat, consumerSeats, type Leadership, whoLeads } from '../lease/who-leads.ts';
import { listHolders } from '../outbox/holders.ts';
import { type Unread, unreadBeyond } from '../outbox/recent.ts';
import { type RingLeaf, ringLeaves } from '../outbox/ring.ts';
import type { Session } from '../postgres/session.ts';
import type { Connections, Seen } from './connections.ts';

/** What the database says of the whole: one look, some milliseconds. */
export interface DatabaseView {
  readonly name: string;
  /** Its clock, in Unix milliseconds: ages are told by it. */
  readonly nowMs: number;
  readonly leadership: Leadership;
  readonly lanes: readonly LaneProgress[];
  /** What no lane has read yet. */
  readonly unread: Unread;
  readonly ring: readonly RingLeaf[];
  /** Transactions that may still insert, or have: the gaps that are open are theirs. */
  readonly writers: number;
  readonly letters: readonly LetterTally[];
  readonly seats: readonly ConsumerSeat[];
  /** Consumers whose inbox is in this database. */
  readonly inboxes: readonly string[];
}

/** A stream as NATS has it. */
export interface StreamView {
  readonly name: string;
  readonly state: StreamState;
  /** Or why they cannot be listed. */
  readonly durables: Seen<readonly DurableView[]>;
}

export interface BrokerView {
  readonly version: string;
  readonly streams: readonly (StreamView | { readonly name: string; readonly reason: string })[];
}

export interface SystemView {
  readonly database: Seen<DatabaseView>;
  readonly broker: Seen<BrokerView>;
}

/** Looks at both servers; `streams` besides those that something was planned for. */
export async function lookAtSystem(
  connections: Connections,
  streams: readonly string[],
): Promise<SystemView> {
  const database = await connections.database(lookAtDatabase);
  const planned = database.kind === 'seen' ? database.value.lanes.map(({ stream }) => stream) : [];
  return { database, broker: await lookAtBroker(connections, [...streams, ...planned]) };
}

export function lookAtBroker(
  connections: Connections,
  streams: readonly string[],
): Promise<Seen<BrokerView>> {
  return connections.broker(async (link) => {
    if (!link.connected) throw new Error(link.denial ?? 'the connection is down; it is tried again');
    const names = [...new Set(streams)].sort();
    return {
      version: link.connection.info?.version ?? 'unknown',
      streams: await Promise.all(names.map((name) => lookAtStream(link, name))),
    };
  });
}

async function lookAtDatabase(session: Session): Promise<DatabaseView> {
  const [row] = await session.query({
    text: `select current_database(), date_part('epoch', clock_timestamp()) * 1000`,
  });
  const leadership = await whoLeads(session);
  const lanes = await laneProgress(session);
  const readTo = Math.max(0, ...lanes.map((lane) => lane.readTo));
  return {
    name: row?.[0] ?? '',
    nowMs: Math.round(Number(row?.[1])),
    leadership,
    lanes,
    unread: await unreadBeyond(session, readTo),
    ring: await ringLeaves(session),
    writers: (await listHolders(session)).size,
    letters: await tallyLetters(session),
    seats: await consumerSeats(session),
    inboxes: await inboxConsumers(session),
  };
}

async function lookAtStream(
  link: Parameters<Parameters<Connections['broker']>[0]>[0],
  name: string,
): Promise<BrokerView['streams'][number]> {
  const lookup = await lookUpStream(link, name);
  if (lookup.kind === 'missing') return { name, reason: 'it does not exist' };
  if (lookup.kind === 'unavailable') return { name, reason: lookup.reason };
  const listed = await listDurables(link, name);
  return {
    name,
    state: lookup.state,
    durables:
      listed.kind === 'found'
        ? { kind: 'seen', value: listed.durables }
        : { kind: 'unseen', reason: listed.reason },
  };
}
