import { AssertionError, deepStrictEqual } from 'node:assert';
import type { TypedEvent } from '../contracts/define-event.ts';
import { isTypedEvent, toOutboxEvent } from '../contracts/typed-event.ts';
import { messageOf } from '../errors.ts';
import type { TransactionHandle } from '../postgres/transaction-handle.ts';
import { type EnqueuedEvent, enqueuedIn } from './enqueued.ts';

/** What is said of an event; what is left out may be anything. */
export interface ExpectedEvent {
  readonly id?: string;
  readonly subject?: string;
  /** Null: it has none. */
  readonly key?: string | null;
  readonly type?: string | null;
  /** Those named; others may be there. */
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * A `Uint8Array` is compared byte by byte. Anything else with what the payload is as JSON; of its objects the properties
   * named here, of its arrays each element.
   */
  readonly payload?: unknown;
}

/** An event as `enqueue()` takes it from `defineEvent()` may be expected as well: with its subject, key, type and version. */
type Expected = ExpectedEvent | TypedEvent;

/**
 * Asserts that this transaction has written these events so far, in this order, and no others; returns them. An empty array
 * says that it has written none.
 *
 * @throws AssertionError with the difference, of what was expected only. And what `enqueuedIn()` throws.
 */
export async function assertEnqueued(
  tx: TransactionHandle,
  expected: Expected | readonly Expected[],
): Promise<EnqueuedEvent[]> {
  const list: readonly Expected[] = isArray(expected) ? expected : [expected];
  const wanted = await Promise.all(list.map(toExpected));
  const events = await enqueuedIn(tx);
  const actual = events.map((event, place) => shownAs(event, wanted[place]));
  const wantedAsShown = wanted.map(asShown);
  try {
    deepStrictEqual(actual, wantedAsShown);
  } catch (difference) {
    throw new AssertionError({
      message: `${headline(events.length, wanted.length)}\n${messageOf(difference)}`,
      actual,
      expected: wantedAsShown,
      operator: 'assertEnqueued',
    });
  }
  return events;
}

async function toExpected(expected: Expected): Promise<ExpectedEvent> {
  if (!isTypedEvent(expected)) return expected;
  const { subject, key = null, type = null, headers = {}, payload, eventId } = await toOutboxEvent(expected);
  const json: unknown = JSON.parse(Buffer.from(payload as Uint8Array).toString());
  return { subject, key, type, headers, payload: json, ...(eventId === undefined ? {} : { id: eventId }) };
}

function headline(actual: number, wanted: number): string {
  if (actual === wanted) return 'the transaction has enqueued other events than expected';
  const hint = actual === 0 ? ' (were they written through this `tx`, and awaited?)' : '';
  return `the transaction has enqueued ${events(actual)}, not ${wanted}${hint}`;
}

function events(count: number): string {
  return count === 1 ? '1 event' : `${count} events`;
}

/** What an event is told by where nothing was expected: enough to find who wrote it. */
const UNEXPECTED: ExpectedEvent = { subject: '', key: null, type: null };

function shownAs(event: EnqueuedEvent, expected: ExpectedEvent = UNEXPECTED): Record<string, unknown> {
  return Object.fromEntries(
    namesIn(expected).map((name) => [
      name,
      name === 'payload' ? payloadAs(event, expected.payload) : partOf(event[name], expected[name]),
    ]),
  );
}

/** In the form in which an event is shown, so that both are compared alike. */
function asShown(expected: ExpectedEvent): Record<string, unknown> {
  return Object.fromEntries(
    namesIn(expected).map((name) => [
      name,
      name === 'payload' ? asPayload(expected.payload) : expected[name],
    ]),
  );
}

const NAMES = ['id', 'subject', 'key', 'type', 'headers', 'payload'] as const;

function namesIn(expected: ExpectedEvent): (typeof NAMES)[number][] {
  return NAMES.filter((name) => expected[name] !== undefined);
}

function payloadAs(event: EnqueuedEvent, expected: unknown): unknown {
  if (expected instanceof Uint8Array) return asPayload(event.payload);
  try {
    return partOf(event.json(), asPayload(expected));
  } catch {
    return asPayload(event.payload);
  }
}

/** As it comes out of the outbox: a date is text by then, and a property that is undefined is none. */
function asPayload(payload: unknown): unknown {
  if (payload instanceof Uint8Array) return Uint8Array.from(payload);
  return JSON.parse(JSON.stringify(payload));
}

/** Of an object the properties that are expected of it. */
function partOf(actual: unknown, expected: unknown): unknown {
  if (isArray(actual) && isArray(expected)) return actual.map((value, i) => partOf(value, expected[i]));
  if (!isObject(actual) || !isObject(expected)) return actual;
  const named = Object.keys(expected).filter((name) => Object.hasOwn(actual, name));
  return Object.fromEntries(named.map((name) => [name, partOf(actual[name], expected[name])]));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !isArray(value);
}

/** Array.isArray, which does not narrow readonly arrays. */
function isArray<Value>(value: Value | readonly Value[]): value is readonly Value[] {
  return Array.isArray(value);
}
