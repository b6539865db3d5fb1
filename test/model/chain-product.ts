import type { Batch } from '../../src/batch-log/batch.ts';
import type { StoredEvent } from '../../src/event.ts';
import {
  type BrokerLink,
  headerBlock,
  markerHeaderBlock,
  type StreamState,
} from '../../src/jetstream/index.ts';
import { formatMultirange } from '../../src/postgres/position-ranges.ts';
import type { Session, TextRow } from '../../src/postgres/session.ts';
import { amend, judgeLetters } from '../../src/relay/chain/amendments.ts';
import { createBurial } from '../../src/relay/chain/burial.ts';
import { type Known, type Reconciliation, type Refill, reconcile } from '../../src/relay/chain/reconcile.ts';
import { createLaneLetters } from '../../src/relay/lane/lane-letters.ts';
import { createLaneLog, type LaneLog } from '../../src/relay/lane/lane-log.ts';
import type { LetterState, Message } from './chain-world.ts';

/**
 * The product's decisions about log and stream, called with a session that answers from the model's log and a link that
 * answers from the model's stream. Each answer is a function of its arguments, so it is remembered.
 */
const SOURCE = 'model';
const STREAM = 's';
const CREATED = 'c';

const cache = new Map<string, Promise<Reconciliation>>();

/** `relay/chain/reconcile.ts`: what is settled, displaced, found, and to be sent again. */
export function compareWithStream(
  log: readonly Batch[],
  stream: readonly Message[],
  known: Known | undefined,
): Promise<Reconciliation> {
  const key = JSON.stringify([log.map(essenceOf), stream, known]);
  let answer = cache.get(key);
  if (answer === undefined) {
    answer = reconcile({
      session: sessionOver(log),
      link: linkOver(stream),
      stream: stateOf(stream),
      source: SOURCE,
      last: log.at(-1),
      known,
      signal: NEVER,
    });
    cache.set(key, answer);
  }
  return answer;
}

/** What of a row a comparison, a takeover or an invariant depends on. */
export function essenceOf({ kind, firstSequence, lastSequence, settledTo, positions, readTo }: Batch) {
  return [kind, firstSequence, lastSequence, settledTo, positions, readTo];
}

/** `relay/lane/lane-log.ts`, standing where this leader's memory of the log ends. */
export function logOf(options: {
  epoch: number;
  settledTo: number | null;
  last: Batch | undefined;
}): LaneLog {
  const { epoch, settledTo, last } = options;
  const log = createLaneLog({
    stream: STREAM,
    ordering: 'stream',
    epoch,
    settled: () => ({ settledTo, settledBatch: null }),
  });
  log.restart(last, CREATED);
  return log;
}

/** `relay/chain/burial.ts`: which slots become markers because this event was refused. */
export async function bury(refusal: { sequence: number; position: number } | null, slots: readonly Refill[]) {
  const letters = createLaneLetters({ stream: STREAM, policy: 'skip', atMost: 1_000 });
  const burial = createBurial({
    options: { stream: STREAM, subjects: ['e.>'] },
    session: sessionOver([]),
    letters,
  });
  const buried = await burial.bury(
    refusal === null ? undefined : { ...refusal, event: eventAt(refusal.position), reason: 'poison' },
    slots,
  );
  if (buried.kind === 'paused') throw new Error('one refusal must not pause the model');
  return buried;
}

/** `relay/chain/amendments.ts`: the rows that say what a comparison found. */
export const amendments = amend;

/** `relay/chain/amendments.ts` and `relay/lane/lane-letters.ts`: what decided slots mean for dead letters. */
export function fatesOf(result: Reconciliation, states: ReadonlyMap<number, LetterState>): Fates {
  const letters = lettersOf(states);
  judgeLetters(result, letters);
  return fatesTaken(letters);
}

/** `relay/lane/lane-letters.ts`: what a settled slot means for its letter. */
export function fateOf(
  states: ReadonlyMap<number, LetterState>,
  position: number,
  what: 'event' | 'marker',
): Fates {
  const letters = lettersOf(states);
  letters.settled(position, what);
  return fatesTaken(letters);
}

type Fates = (readonly [position: number, fate: LetterState])[];

function lettersOf(states: ReadonlyMap<number, LetterState>) {
  const letters = createLaneLetters({ stream: STREAM, policy: 'skip', atMost: 1_000 });
  letters.restart(
    [...states].flatMap(([position, state]) =>
      state === 'resolved' ? [] : [{ id: position, position, key: null, state, outcome: 'refused' as const }],
    ),
  );
  return letters;
}

function fatesTaken(letters: ReturnType<typeof lettersOf>): Fates {
  const { marked, stored } = letters.takeFates() ?? { marked: [], stored: [] };
  // As `settleLettersIfLeading` writes it: stored wins.
  return [
    ...marked
      .filter((position) => !stored.includes(position))
      .map((position) => [position, 'parked'] as const),
    ...stored.map((position) => [position, 'resolved'] as const),
  ];
}

const NEVER = new AbortController().signal;

function eventAt(position: number): StoredEvent {
  return {
    position,
    eventId: `event-${position}`,
    subject: 'e.a',
    key: null,
    type: null,
    headers: null,
    payload: new Uint8Array(),
    createdAtMs: 0,
  };
}

function stateOf(stream: readonly Message[]): StreamState {
  return {
    name: STREAM,
    created: CREATED,
    firstSequence: 1,
    lastSequence: stream.length,
    messages: stream.length,
    subjects: ['e.>'],
    maxMessageSize: -1,
    duplicateWindowMs: 1_000,
    noAck: false,
    sealed: false,
    retention: 'limits',
    storage: 'file',
    replicas: 1,
    discard: 'new',
    maxMessages: -1,
    maxBytes: -1,
    maxAgeMs: 0,
    maxMessagesPerSubject: -1,
    bytes: 0,
    mirror: false,
    sources: false,
  };
}

/** Answers the statements of `recover.ts` and `timeline.ts`, so it has to change with them. */
function sessionOver(log: readonly Batch[]): Session {
  const answer = (text: string, name: string | undefined, values: readonly unknown[]): TextRow[] => {
    if (name === 'postcommit_last_unordered') return [];
    if (name === 'postcommit_log_span') {
      const slotted = log.filter(({ kind }) => kind !== 'marker' && kind !== 'found');
      const [first, last] = [slotted[0]?.firstSequence, slotted.at(-1)?.lastSequence];
      return [[String(first ?? 0), String(last ?? 0), 'true']];
    }
    if (text.includes('batch < $3 and batch > $4'))
      return log
        .filter(({ batch }) => batch < Number(values[2]) && batch > Number(values[3]))
        .map(toRow)
        .reverse();
    if (text.startsWith('with retained')) return []; // The database knows every event.
    throw new Error(`the model's database does not know the statement ${name ?? text}`);
  };
  return {
    pooled: false,
    backendPid: null,
    query: async ({ text, name, values = [] }) => answer(text, name, values),
    queryStrictly: () => Promise.reject(new Error('a comparison writes nothing')),
    read: () => Promise.reject(new Error('a comparison reads no events')),
    failed: false,
    onFailure: () => undefined,
    close: () => Promise.resolve(),
    destroy: () => undefined,
  };
}

function toRow(row: Batch): TextRow {
  const { stream, incarnation, batch, epoch, ordering, kind, firstSequence, lastSequence, settledTo } = row;
  return [
    stream,
    incarnation,
    String(batch),
    String(epoch),
    ordering,
    kind,
    String(firstSequence),
    String(lastSequence),
    settledTo === null ? null : String(settledTo),
    formatMultirange(row.positions),
    formatMultirange(row.parked),
    String(row.readTo),
    String(row.openFrom),
    null,
    row.subjectPrefix,
  ];
}

/** Answers `$JS.API.STREAM.MSG.GET`, with headers as the relay writes them. */
function linkOver(stream: readonly Message[]): BrokerLink {
  const request = async (_subject: string, payload: string) => {
    const { seq } = JSON.parse(payload) as { seq: number };
    const message = stream[seq - 1];
    const body =
      message === undefined
        ? { error: { code: 404, err_code: 10037, description: 'no message found' } }
        : { message: { subject: 'e.a', seq, hdrs: Buffer.from(headersOf(message, seq)).toString('base64') } };
    return { data: Buffer.from(JSON.stringify(body)) };
  };
  const link = { connected: true, onDisconnect: () => () => undefined, connection: { request } };
  return link as unknown as BrokerLink;
}

function headersOf({ position, marker }: Message, sequence: number): Uint8Array {
  if (position === null) return Buffer.from('NATS/1.0\r\n\r\n');
  const options = { stream: STREAM, source: SOURCE, expectedLastSequence: sequence - 1 };
  const event = eventAt(position);
  return Buffer.from(
    marker ? markerHeaderBlock(event, options) : headerBlock(event, { ...options, messageId: null }),
  );
}
