import { messageOf } from '../../errors.ts';
import { lowerPlaces, placesUpTo } from '../../inbox/places.ts';
import { type BrokerLink, toConsumedEvent } from '../../jetstream/index.ts';
import type { Transaction } from '../../postgres/transaction-handle.ts';
import type { ConsumerSettings } from '../options.ts';
import { agreedUpTo } from './agreement.ts';
import {
  type DurableDefinition,
  type DurableOutcome,
  type DurableProgress,
  type DurableState,
  provideDurable,
} from './durable.ts';
import { moveBack } from './move-back.ts';
import { readStored } from './read-stored.ts';

/** Runs statements in the database of the inbox. */
export type AskInbox = <Result>(work: (transaction: Transaction) => Promise<Result>) => Promise<Result>;

export interface FinderOptions {
  readonly link: BrokerLink;
  readonly settings: ConsumerSettings;
  readonly askInbox: AskInbox;
}

export function durableOf(settings: ConsumerSettings): DurableDefinition {
  // Twice the prefetch: what one instance holds does not keep another from working.
  return { ...settings, maxAckPending: Math.max(1_000, 2 * settings.prefetch) };
}

/**
 * Finds the durable, for the instance that is going to work with it. It remembers how far it had got in case it vanishes,
 * and moves it back where the stream has lost its tail: then its account is of messages that are no more.
 */
export function createFinder(options: FinderOptions): () => Promise<DurableOutcome> {
  const { link, settings } = options;
  let last: DurableProgress | undefined;
  return async () => {
    const outcome = await provideDurable(link, durableOf(settings), last);
    if (outcome.kind !== 'ready') return outcome;
    const { state } = outcome;
    const lost = await lostTail(state, options).catch((error: unknown) => ({ reason: messageOf(error) }));
    if (lost === undefined) {
      last = furthest(last, state.progress);
      return outcome;
    }
    // As the stream has lost what it was about.
    last = undefined;
    return 'reason' in lost ? { kind: 'unavailable', reason: lost.reason } : recover(lost.to, state, options);
  };
}

/** A durable that was just created says 0 until something is acknowledged, wherever it began. */
function furthest(last: DurableProgress | undefined, now: DurableProgress): DurableProgress {
  return last?.incarnation === now.incarnation && last.ackFloor > now.ackFloor ? last : now;
}

/** The sequence up to which stream, durable and inbox are of one mind, if they are not to the end. */
async function lostTail(
  { stream: held, delivered: { streamSequence } }: DurableState,
  { link, settings, askInbox }: FinderOptions,
): Promise<{ to: number } | undefined> {
  const { stream, durable: consumer } = settings;
  const isAhead = streamSequence > held.lastSequence;
  // Where it must not be moved there is nothing to look for.
  if (held.retention === 'interest' && !isAhead) return undefined;
  const recorded = (upTo: number) =>
    askInbox((transaction) => placesUpTo(transaction, { consumer, stream, upTo, atMost: PLACES_AT_ONCE }));
  const stored = (sequence: number) => storedId(link, stream, sequence);
  const range = { first: held.firstSequence, upTo: Math.min(streamSequence, held.lastSequence) };
  const agreed = await agreedUpTo({ recorded, stored }, range);
  if (agreed !== undefined) return { to: agreed };
  return isAhead ? { to: held.lastSequence } : undefined;
}

async function storedId(link: BrokerLink, stream: string, sequence: number): Promise<string | undefined> {
  const { signal } = new AbortController();
  const range = { stream, subjects: [], from: sequence, to: sequence, signal };
  for await (const [message] of readStored(link, range))
    if (message !== undefined) return toConsumedEvent(message).id;
  return undefined;
}

async function recover(
  to: number,
  state: DurableState,
  { link, settings, askInbox }: FinderOptions,
): Promise<DurableOutcome> {
  const { stream, durable } = settings;
  const reason = await moveBack(link, settings, { state, to });
  if (reason !== undefined) return { kind: 'unavailable', reason };
  // Only now: until the durable stands where it should, this is what tells that it does not.
  const places = { consumer: durable, stream, to: Math.max(to, state.stream.firstSequence) };
  await askInbox((transaction) => lowerPlaces(transaction, places));
  settings.logger.warn(
    { event: 'consumer-moved-back', consumer: durable, delivered: state.delivered.streamSequence, to },
    'The stream has lost its tail: its durable was made anew where they agree, and what came in its place is consumed',
  );
  return provideDurable(link, durableOf(settings));
}

const PLACES_AT_ONCE = 16;
