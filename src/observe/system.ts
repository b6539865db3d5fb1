import type { Batch } from '../batch-log/batch.ts';
import { lastRows } from '../batch-log/recover.ts';
import type { SettledStream } from '../batch-log/settled.ts';
import { type LetterTally, tallyLetters } from '../dead-letters/tally.ts';
import { messageOf } from '../errors.ts';
import { inboxConsumers } from '../inbox/effects.ts';
import { type DurableView, listDurables, lookUpStream, type StreamState } from '../jetstream/index.ts';
import { type ConsumerSeat, consumerSeats, type Leadership, whoLeads } from '../lease/who-leads.ts';
import { listHolders } from '../outbox/holders.ts';
import { type RingLeaf, ringLeaves } from '../outbox/ring.ts';
import type { Session } from '../postgres/session.ts';
import type { Connections, Seen } from './connections.ts';
import { lookAtPending, type Pending } from './pending.ts';

/** What the database says of the whole: one look, some milliseconds. */
export interface DatabaseView {
  readonly name: string;
  /** Its clock, in Unix milliseconds: ages are told by it. */
  readonly nowMs: number;
  readonly leadership: Leadership;
  /** The newest row of each stream's log. */
  readonly lanes: readonly Batch[];
  /** The leaves of the outbox, or why they cannot be looked at: one that is just being emptied is not waited for. */
  readonly ring: Seen<readonly RingLeaf[]>;
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
  /** There are others that were not listed. */
  readonly more: boolean;
}

export interface BrokerView {
  readonly version: string;
  readonly streams: readonly (StreamView | { readonly name: string; readonly reason: string })[];
}

export interface SystemView {
  readonly database: Seen<DatabaseView>;
  readonly broker: Seen<BrokerView>;
  readonly pending: Seen<Pending>;
}

/** Looks at both servers; `streams` besides those that something was planned for. */
export async function lookAtSystem(
  connections: Connections,
  streams: readonly string[],
): Promise<SystemView> {
  const database = await connections.database(lookAtDatabase);
  const planned = database.kind === 'seen' ? database.value.lanes.map(({ stream }) => stream) : [];
  const broker = await lookAtBroker(connections, [...streams, ...planned]);
  const pending: Seen<Pending> =
    database.kind === 'seen'
      ? await connections.database((session) =>
          lookAtPending(session, {
            newest: database.value.lanes,
            settled: settledBy(database.value.lanes, broker),
          }),
        )
      : database;
  return { database, broker, pending };
}

/** In `stream` ordering everything that the stream holds of its incarnation is settled, though the log does not say so yet. */
export function settledBy(lanes: readonly Batch[], broker: Seen<BrokerView>): SettledStream[] {
  if (broker.kind !== 'seen') return [];
  return lanes.flatMap(({ stream, incarnation, ordering }) => {
    const seen = broker.value.streams.find(({ name }) => name === stream);
    if (ordering !== 'stream' || seen === undefined || !('state' in seen)) return [];
    if (seen.state.created !== incarnation) return [];
    return [{ stream, settledTo: seen.state.lastSequence, settledBatch: null }];
  });
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
  return {
    name: row?.[0] ?? '',
    nowMs: Math.round(Number(row?.[1])),
    leadership,
    lanes: await lastRows(session),
    ring: await ringSeen(session),
    writers: (await listHolders(session)).size,
    letters: await tallyLetters(session),
    seats: await consumerSeats(session),
    inboxes: await inboxConsumers(session),
  };
}

async function ringSeen(session: Session): Promise<Seen<readonly RingLeaf[]>> {
  try {
    return { kind: 'seen', value: await ringLeaves(session) };
  } catch (error) {
    if (session.failed) throw error;
    return { kind: 'unseen', reason: messageOf(error) };
  }
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
    more: listed.kind === 'found' && listed.more,
    durables:
      listed.kind === 'found'
        ? { kind: 'seen', value: listed.durables }
        : { kind: 'unseen', reason: listed.reason },
  };
}
