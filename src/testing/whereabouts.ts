import { type NewestPlan, newestPlan } from '../batch-log/newest-plan.ts';
import { failuresOf } from '../dead-letters/failures.ts';
import { type EventLetter, lettersOfEvent } from '../dead-letters/letters-of-event.ts';
import { highestPlace, recordingConsumers } from '../inbox/progress.ts';
import { leadingRelay, type Seat, seatsNamed } from '../lease/seats.ts';
import { type EventPlace, type FoundEvent, findEvent } from '../outbox/find-event.ts';
import type { Transaction } from '../postgres/transaction-handle.ts';

/** An event on its way to an effect. */
export interface AwaitedEffect {
  readonly consumer: string;
  readonly eventId: string;
  /** Where the consumer's inbox is. */
  readonly inbox: Transaction;
  /** Where the event was written. */
  readonly outbox: Transaction;
}

/** Where an event is that a consumer has not recorded, and what to do, in words. */
export async function whereabouts(awaited: AwaitedEffect): Promise<string> {
  const { eventId, outbox } = awaited;
  const known = (await failing(awaited)) ?? (await setAside(awaited));
  if (known !== undefined) return known;
  const found = await findEvent(outbox, eventId);
  if (found.row === null) return notWritten(found);
  const plan = await newestPlan(outbox, found.row.position);
  if (plan === undefined) return notPlanned(found.row, outbox);
  return notConsumed(awaited, { ...found.row, ...plan });
}

async function failing({ consumer, eventId, inbox }: AwaitedEffect): Promise<string | undefined> {
  const failures = await failuresOf(inbox, { consumer, eventId });
  if (failures === undefined) return undefined;
  return `The handler has failed ${times(failures.attempts)}, the last time with: ${failures.lastReason}
It is tried again after a delay that grows (\`backoff\`). If it is meant to fail first, let the test move the time: consume({ clock: createFakeClock() }).`;
}

async function setAside({ eventId, outbox }: AwaitedEffect): Promise<string | undefined> {
  const [letter] = await lettersOfEvent(outbox, { consumer: null, eventId });
  return letter === undefined || letter.state === 'resolved' ? undefined : describeRelayLetter(letter);
}

/** Of a letter that the relay has made. */
export function describeRelayLetter({ state, outcome, reason }: EventLetter): string {
  const hint =
    outcome === 'misrouted'
      ? 'Correct the subject, or give the relay a lane whose subjects match it.'
      : 'See docs/dead-letters.md; `postcommit dead-letters list` shows it.';
  return `The relay has set it aside as a dead letter (${outcome}, ${state}): ${reason}\n${hint}`;
}

/** Of one that a consumer has made. */
export function describeConsumerLetter({ state, attempts, reason }: EventLetter): string {
  return `The consumer has given it up after ${attempts === 1 ? 'an attempt' : `${attempts} attempts`}, as a dead letter (${state}): ${reason}
If it is meant to be tried longer, see \`maxAttempts\`; Reject gives up at once.`;
}

function notWritten({ database, rows }: FoundEvent): string {
  const others = rows === 0 ? 'holds no event at all' : `holds ${counted(rows)}, not this one`;
  return `The outbox of the database "${database}" ${others}: the transaction has not committed, was rolled back, or wrote to another database.
Await its commit before you wait for the effect. Where the consumer's database is not the one that wrote the event, hand that in as \`outbox\`.`;
}

async function notPlanned({ position, subject }: EventPlace, outbox: Transaction): Promise<string> {
  const where = `It is committed (position ${position}, subject ${subject}), and no relay has planned it.`;
  const leader = await leadingRelay(outbox);
  if (leader === null)
    return `${where} No relay leads on this database now.
Start one: \`services.scratch()\` runs it, or \`createRelay()\`, or \`postcommit relay\`.`;
  return `${where} The relay ${leader} leads.
Look at its status(): is NATS connected, is a lane paused, and for what reason?`;
}

async function notConsumed(
  { consumer, inbox }: AwaitedEffect,
  { stream, sequence, ordering, subject }: EventPlace & NewestPlan,
): Promise<string> {
  const place = ordering === 'stream' ? `at sequence ${sequence}` : `at sequence ${sequence} or later`;
  const where = `It is planned for the stream ${stream} ${place}, and the consumer "${consumer}" has not recorded it.`;
  const highest = await highestPlace(inbox, { consumer, stream });
  if (ordering === 'stream' && highest !== undefined && highest > sequence)
    return `${where} It has recorded sequence ${highest}.
Does its durable take the subject ${subject} (\`subjects\`), and did it begin before this event (\`deliverPolicy\`)? Has the handler of this one ended?`;
  const seats = await seatsNamed(inbox, consumer);
  return `${where} ${seatText(seats, stream)}${await namesText(inbox, { consumer, seats })}
Is it started with this durable, stream and database, does its durable take the subject ${subject} (\`subjects\`), and has its handler ended? Is NATS up? What is planned is stored when NATS is there (relay.status()).`;
}

function seatText(seats: readonly Seat[], stream: string): string {
  const here = seats.find((seat) => seat.stream === stream);
  if (here !== undefined)
    return here.active ? 'An instance of it works now.' : 'No instance of it works now.';
  const others = seats.map((seat) => seat.stream);
  if (others.length > 0) return `It works on the stream ${others.join(', ')}.`;
  return 'No instance that keeps an order has ever worked under this name.';
}

/** A name that is misspelled is noticed beside the right one. */
async function namesText(
  inbox: Transaction,
  { consumer, seats }: { readonly consumer: string; readonly seats: readonly Seat[] },
): Promise<string> {
  const names = await recordingConsumers(inbox);
  if (seats.length > 0 || names.includes(consumer) || names.length === 0) return '';
  return ` This inbox knows: ${names.join(', ')}.`;
}

function times(count: number): string {
  return count === 1 ? 'once' : `${count} times`;
}

function counted(rows: number): string {
  if (rows >= 1_000) return '1,000 events or more';
  return rows === 1 ? '1 event' : `${rows} events`;
}
