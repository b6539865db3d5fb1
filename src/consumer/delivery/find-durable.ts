import { messageOf } from '../../errors.ts';
import {
  databaseNow,
  lowerPlaces,
  lowestPlace,
  lowestSeen,
  placesUpTo,
  witnessOf,
} from '../../inbox/places.ts';
import { type BrokerLink, isMarker, type SourceMessage, toConsumedEvent } from '../../jetstream/index.ts';
import type { Transaction } from '../../postgres/transaction-handle.ts';
import type { ConsumerSettings } from '../options.ts';
import { type Agreement, compare } from './agreement.ts';
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

/** An election may show a stream's end late: what is behind is so twice, so far apart. */
const SURE_AFTER_MS = 1_000;
const PLACES_AT_ONCE = 16;
const ROWS_AT_ONCE = 5_000;

/**
 * Finds the durable, for the instance that is going to work with it. It remembers how far it had got in case it vanishes,
 * and moves it back where the stream has lost its tail: then its account is of messages that are no more.
 */
export function createFinder(options: FinderOptions): () => Promise<DurableOutcome> {
  const { link, settings, askInbox } = options;
  let last: { readonly created: string; readonly progress: DurableProgress } | undefined;
  let aheadSinceMs: number | undefined;

  /** Where one that is missing goes on: where it was, or else, where the inbox knows it, from the first that it had. */
  async function goOnFrom() {
    if (last !== undefined) return last.progress;
    const { durable: consumer, stream } = settings;
    const lowest = await askInbox((transaction) => lowestSeen(transaction, { consumer, stream }));
    return lowest === undefined ? undefined : { fromSequence: lowest };
  }
  function remember({ created, progress }: DurableState): void {
    const before = last?.created === created ? last.progress : undefined;
    last = { created, progress: furthest(before, progress) };
  }
  async function find(): Promise<DurableOutcome> {
    const outcome = await provideDurable(link, durableOf(settings), await goOnFrom());
    if (outcome.kind !== 'ready') return outcome;
    const { state } = outcome;
    const isAhead =
      state.delivered.consumerSequence > 0 && state.delivered.streamSequence > state.stream.lastSequence;
    if (isAhead) {
      aheadSinceMs ??= performance.now();
      if (performance.now() - aheadSinceMs < SURE_AFTER_MS)
        return {
          kind: 'unavailable',
          reason: `the stream '${settings.stream}' ends before what was delivered`,
        };
    } else aheadSinceMs = undefined;
    const to = await lostTail(state, { ...options, isAhead });
    if (to === undefined) {
      remember(state);
      return outcome;
    }
    // Whatever comes between: one that is missing begins here.
    last = { created: '', progress: { ...state.progress, ackFloor: Math.min(state.progress.ackFloor, to) } };
    const moved = await recover(to, state, options);
    if (moved.kind === 'ready') remember(moved.state);
    return moved;
  }
  return () =>
    find().catch((error: unknown): DurableOutcome => ({ kind: 'unavailable', reason: messageOf(error) }));
}

/** A durable that was just created says 0 until something is acknowledged, wherever it began. */
function furthest(last: DurableProgress | undefined, now: DurableProgress): DurableProgress {
  return last?.incarnation === now.incarnation && last.ackFloor > now.ackFloor ? last : now;
}

/** The sequence up to which stream, durable and inbox are of one mind, if they are not to the end. */
async function lostTail(
  state: DurableState,
  { link, settings, askInbox, isAhead }: FinderOptions & { readonly isAhead: boolean },
): Promise<number | undefined> {
  const { stream, durable: consumer } = settings;
  const { firstSequence, lastSequence, retention } = state.stream;
  // Where it must not be moved there is nothing to look for.
  if (retention === 'interest' && !isAhead) return undefined;
  const recordedFrom = await askInbox((transaction) => lowestPlace(transaction, { consumer, stream }));
  const upTo = Math.min(state.delivered.streamSequence, lastSequence);
  const nothing: Agreement = { contradicted: false, agreed: undefined };
  const lowest = Math.max(firstSequence, recordedFrom ?? 0, 1);
  const { contradicted, agreed } =
    recordedFrom === undefined || upTo < lowest
      ? nothing
      : await compare(storiesOf(state, { link, settings, askInbox }), { lowest, upTo, thorough: isAhead });
  if (!isAhead && !contradicted) return undefined;
  // Never before where it was to begin: what lies there is none of its business.
  const start =
    state.start ?? recordedFrom ?? (settings.deliverPolicy === 'all' ? firstSequence : lastSequence + 1);
  return agreed ?? Math.min(Math.max(start, firstSequence, 1) - 1, lastSequence);
}

function storiesOf(state: DurableState, { link, settings, askInbox }: FinderOptions) {
  const { stream, durable: consumer } = settings;
  const since = new Date(state.created);
  return {
    recorded: (upTo: number) =>
      askInbox((transaction) => placesUpTo(transaction, { consumer, stream, upTo, atMost: PLACES_AT_ONCE })),
    async witness(sequence: number) {
      const message = await messageAt(link, { stream, sequence });
      const eventId = message === undefined ? undefined : tellingId(message);
      if (message === undefined || eventId === undefined) return undefined;
      const held = { sequence, eventId, storedAt: message.time };
      return askInbox((transaction) => witnessOf(transaction, { consumer, stream, held, since }));
    },
  };
}

/** A message without any id has one by its place: another one there would have the same. */
function tellingId(message: SourceMessage): string | undefined {
  const { id, stream, sequence } = toConsumedEvent(message);
  return isMarker(message) || id === `${stream}:${sequence}` ? undefined : id;
}

async function messageAt(
  link: BrokerLink,
  { stream, sequence }: { stream: string; sequence: number },
): Promise<SourceMessage | undefined> {
  const { signal } = new AbortController();
  for await (const [message] of readStored(link, {
    stream,
    subjects: [],
    from: sequence,
    to: sequence,
    signal,
  }))
    return message;
  return undefined;
}

async function recover(
  to: number,
  state: DurableState,
  { link, settings, askInbox }: FinderOptions,
): Promise<DurableOutcome> {
  const { stream, durable: consumer } = settings;
  const recordedUntil = await askInbox(databaseNow);
  const reason = await moveBack(link, settings, { state, to });
  if (reason !== undefined) return { kind: 'unavailable', reason };
  // Only now: until the durable stands where it should, this is what tells that it does not.
  const lowering = {
    consumer,
    stream,
    to: Math.max(to, state.stream.firstSequence),
    recordedUntil,
    atMost: ROWS_AT_ONCE,
  };
  while ((await askInbox((transaction) => lowerPlaces(transaction, lowering))) === ROWS_AT_ONCE);
  settings.logger.warn(
    { event: 'consumer-moved-back', consumer, delivered: state.delivered.streamSequence, to },
    'The stream has lost its tail: its durable was made anew where they agree, and what came in its place is consumed',
  );
  return provideDurable(link, durableOf(settings), { fromSequence: to + 1 });
}
