import { AssertionError } from 'node:assert';
import { lettersOfEvent } from '../dead-letters/letters-of-event.ts';
import { recordedAmong } from '../inbox/recorded.ts';
import { hasOpenRequests } from '../requests/open.ts';
import { type AskedDatabase, asking } from './asked-database.ts';
import { keepLooking, lookOnce } from './looking.ts';
import { TIMEOUT_MS, troubleOf } from './until.ts';
import {
  type AwaitedEffect,
  describeConsumerLetter,
  describeRelayLetter,
  whereabouts,
} from './whereabouts.ts';

export interface EffectOptions {
  /** The durable of `consume()`. */
  readonly consumer: string;
  /** What `enqueue()` returned. */
  readonly eventId: string;
  /** Default 10,000. */
  readonly timeoutMs?: number;
  /** The database that the event was written to, if the consumer's is another. */
  readonly outbox?: AskedDatabase;
}

const EVERY_MS = 10;
/** For finding out where it is, once it is late. */
const SEARCH_MS = 5_000;

/**
 * Resolves when the consumer has recorded the event in its inbox, which commits together with what its handler wrote.
 * `db`: the consumer's database. An outage of it is waited out.
 *
 * @throws AssertionError when that cannot happen any more (the relay or the consumer made a dead letter of it), or after
 * `timeoutMs`. It says where the event is and what to do.
 */
export async function waitForEffect(
  db: AskedDatabase,
  { consumer, eventId, timeoutMs = TIMEOUT_MS, outbox }: EffectOptions,
): Promise<void> {
  const inbox = asking(db);
  const awaited = { consumer, eventId, inbox, outbox: outbox === undefined ? inbox : asking(outbox) };
  const last = await keepLooking(() => outcomeOf(awaited), { timeoutMs, everyMs: EVERY_MS });
  const outcome = last.kind === 'seen' ? last.value : undefined;
  if (outcome?.kind === 'recorded') return;
  if (outcome?.kind === 'given up') throw failure(awaited, `cannot have one any more. ${outcome.reason}`);
  const where = await lookOnce(() => whereabouts(awaited), SEARCH_MS);
  const said = where.kind === 'seen' ? where.value : `Where it is could not be found out${troubleOf(where)}`;
  throw failure(awaited, `had none within ${timeoutMs} ms. ${said}`);
}

/** What will not change any more. */
type Outcome = { readonly kind: 'recorded' } | { readonly kind: 'given up'; readonly reason: string };

async function outcomeOf(awaited: AwaitedEffect): Promise<Outcome | undefined> {
  const { consumer, eventId, inbox } = awaited;
  const recorded = await recordedAmong(inbox, { consumer, eventIds: [eventId] });
  if (!recorded.has(eventId)) return outcomeAtRelay(awaited);
  // A dead letter is recorded as well, so that the message is not handed out again.
  const letters = await lettersOfEvent(inbox, { consumer, eventId });
  const letter = letters.find((one) => one.consumer === consumer);
  if (letter === undefined || letter.state === 'resolved') return { kind: 'recorded' };
  if (letter.state === 'retrying') return undefined;
  return { kind: 'given up', reason: describeConsumerLetter(letter) };
}

async function outcomeAtRelay({ eventId, outbox }: AwaitedEffect): Promise<Outcome | undefined> {
  const [letter] = await lettersOfEvent(outbox, { consumer: null, eventId });
  if (letter === undefined) return undefined;
  const { state, outcome } = letter;
  const isFinal = state === 'discarded' || (state === 'parked' && ['refused', 'misrouted'].includes(outcome));
  // An operator's word (the test's own, as a rule) may be on its way to the leader.
  if (!isFinal || (await hasOpenRequests(outbox))) return undefined;
  return { kind: 'given up', reason: describeRelayLetter(letter) };
}

function failure({ consumer, eventId }: AwaitedEffect, what: string): AssertionError {
  return new AssertionError({
    message: `the event ${eventId} was to have its effect by the consumer "${consumer}", and ${what}`,
    operator: 'waitForEffect',
  });
}
