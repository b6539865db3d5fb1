import {
  type JetStreamManager,
  type JsMsg,
  RetentionPolicy,
  type StoredMsg,
  type StreamState,
} from '@nats-io/jetstream';
import type pg from 'pg';
import { sleep } from '../../src/lifecycle/abort.ts';

const READ_TIMEOUT_MS = 10_000;

/** A committed row of the outbox. */
export interface OutboxRow {
  readonly position: number;
  readonly eventId: string;
  readonly subject: string;
  readonly payload: string;
}

/** A message of a stream; without `source` it is another writer's. */
export interface StreamMessage {
  readonly sequence: number;
  readonly source: string;
  readonly position: number;
  readonly eventId: string;
  readonly subject: string;
  readonly payload: string;
  /** The event that a marker stands for, else empty. */
  readonly skipped: string;
}

export interface LogRow {
  readonly batch: number;
  readonly epoch: number;
  readonly ordering: string;
  readonly kind: string;
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly settledTo: number | null;
  readonly positions: readonly number[];
  /** Of a replay: what its copies have before their subjects. */
  readonly prefix?: string | null;
  /** Left out on purpose. */
  readonly parked: readonly number[];
}

export interface History {
  readonly outbox: readonly OutboxRow[];
  readonly messages: readonly StreamMessage[];
  readonly log: readonly LogRow[];
  /** Positions set aside as dead letters. */
  readonly dead?: readonly number[];
}

export async function readOutbox(pool: pg.Pool): Promise<OutboxRow[]> {
  const { rows } = await pool.query(
    'select position, event_id, subject, payload from postcommit.outbox order by position',
  );
  return rows.map(({ position, event_id, subject, payload }) => ({
    position: Number(position),
    eventId: event_id,
    subject,
    payload: payload.toString(),
  }));
}

export async function readLog(pool: pg.Pool, stream: string): Promise<LogRow[]> {
  const { rows } = await pool.query(
    `select batch, epoch, ordering, kind, first_sequence, last_sequence, settled_to,
            subject_prefix,
            array(select p from unnest(positions) r, generate_series(lower(r), upper(r) - 1) p order by p) as positions,
            array(select p from unnest(parked) r, generate_series(lower(r), upper(r) - 1) p order by p) as parked
       from postcommit.batches where stream = $1 order by batch`,
    [stream],
  );
  return rows.map((row) => ({
    batch: Number(row.batch),
    epoch: Number(row.epoch),
    ordering: row.ordering,
    kind: row.kind,
    firstSequence: Number(row.first_sequence),
    lastSequence: Number(row.last_sequence),
    settledTo: row.settled_to === null ? null : Number(row.settled_to),
    positions: row.positions.map(Number),
    prefix: row.subject_prefix,
    parked: row.parked.map(Number),
  }));
}

/** Every message of a stream by sequence; disturbs nothing. */
export async function readStream(jsm: JetStreamManager, stream: string): Promise<StreamMessage[]> {
  const { config, state } = await jsm.streams.info(stream);
  // Where messages go once they are consumed, another consumer is refused or would keep them.
  if (config.retention !== RetentionPolicy.Limits) return readOneByOne(jsm, stream, state);
  const messages = await readAtOnce(jsm, stream, state.messages);
  return messages.length < state.messages ? readOneByOne(jsm, stream, state) : messages;
}

async function readOneByOne(
  jsm: JetStreamManager,
  stream: string,
  state: StreamState,
): Promise<StreamMessage[]> {
  const messages: StreamMessage[] = [];
  const first = Math.max(state.first_seq, 1);
  const sequences = Array.from({ length: Math.max(0, state.last_seq - first + 1) }, (_, i) => first + i);
  for (let i = 0; i < sequences.length; i += 256) {
    const page = sequences
      .slice(i, i + 256)
      .map((seq) => jsm.streams.getMessage(stream, { seq }).then((message) => message && read(message)));
    for (const message of await Promise.all(page)) if (message) messages.push(message);
  }
  return messages;
}

const ATTEMPTS = 10;

/** A cluster that has just lost a server may place the consumer where nobody answers (yet): asked again until one does. */
async function readAtOnce(jsm: JetStreamManager, stream: string, count: number): Promise<StreamMessage[]> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await readThroughConsumer(jsm, stream, count);
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
      await sleep(500);
    }
  }
}

/** Up to so many, pushed by the server: a tenth of the time. Fewer, if it falls silent or they are gone by now. */
async function readThroughConsumer(
  jsm: JetStreamManager,
  stream: string,
  count: number,
): Promise<StreamMessage[]> {
  const messages: StreamMessage[] = [];
  if (count === 0) return messages;
  const consumer = await jsm.jetstream().consumers.get(stream);
  const batch = await consumer.fetch({ max_messages: count, expires: READ_TIMEOUT_MS });
  for await (const message of batch) {
    messages.push(read(message));
    if (messages.length === count) break;
  }
  await consumer.delete();
  return messages;
}

function read(message: StoredMsg | JsMsg): StreamMessage {
  const header = (name: string) => ('header' in message ? message.header : message.headers)?.get(name) ?? '';
  return {
    sequence: message.seq,
    source: header('Postcommit-Source'),
    position: Number(header('Postcommit-Position')),
    eventId: header('Postcommit-Event-Id'),
    subject: message.subject,
    payload: Buffer.from(message.data).toString(), // string() takes off what looks like a byte order mark.
    skipped: header('Postcommit-Skipped'),
  };
}

/** Positions of the relay's dead letters that are not in the stream. */
export async function readDead(pool: pg.Pool): Promise<number[]> {
  const { rows } = await pool.query(
    `select position from postcommit.dead_letters where consumer is null and state <> 'resolved' order by position`,
  );
  return rows.map(({ position }) => Number(position));
}

/** The place the log gives to each position, by position: a later row overrides an older one, a replay is a copy. */
export function placesOf(log: readonly LogRow[]): Map<number, number> {
  const places = new Map<number, number>();
  for (const { kind, firstSequence, positions } of log) {
    if (kind === 'replay' || kind === 'marker') continue;
    positions.forEach((position, i) => void places.set(position, firstSequence + i));
  }
  return places;
}

/**
 * What is wrong with a history, in words; empty when each committed event that is not set aside is in the stream once
 * (and once more for each replay, under its prefix), unchanged, at the place the log gives it, and nothing else is but
 * markers at their places and other writers' messages.
 */
export function faultsOf({ outbox, messages, log, dead = [] }: History): string[] {
  const rows = new Map(outbox.map((row) => [row.position, row]));
  const ours = messages.filter(({ source }) => source !== '');
  const copies = copiesIn(log);
  const events = ours.filter(({ skipped }) => skipped === '');
  const originals = events.filter((message) => prefixOf(copies, message) === undefined);
  const seen = new Set(originals.map(({ position }) => position));
  const aside = new Set(dead);
  return [
    ...faultsOfMarkers(ours, log),
    ...events.flatMap((message) =>
      faultsOfContent(rows.get(message.position), message, prefixOf(copies, message) ?? null),
    ),
    ...faultsOfPlaces(originals, log),
    ...outbox
      .filter(({ position }) => !seen.has(position) && !aside.has(position))
      .map(({ position }) => `lost: ${position}`),
    ...dead.filter((position) => seen.has(position)).map((position) => `dead and stored: ${position}`),
    ...faultsOfLog(log),
  ];
}

function faultsOfMarkers(messages: readonly StreamMessage[], log: readonly LogRow[]): string[] {
  const markers = new Set(
    log.flatMap(({ kind, firstSequence }) => (kind === 'marker' ? [firstSequence] : [])),
  );
  return messages
    .filter(({ skipped, sequence }) => skipped !== '' && !markers.has(sequence))
    .map(({ position, sequence }) => `unplanned marker: ${position} at ${sequence}`);
}

function faultsOfContent(
  row: OutboxRow | undefined,
  message: StreamMessage,
  prefix: string | null,
): string[] {
  const where = `${message.position} at ${message.sequence}`;
  if (row === undefined) return [`phantom: ${where}`];
  const subject = prefix === null ? row.subject : `${prefix}.${row.subject}`;
  if (message.subject !== subject) return [`wrong subject: ${where}: ${message.subject}`];
  return isCopy(row, message) ? [] : [`changed: ${where}`];
}

function faultsOfPlaces(messages: readonly StreamMessage[], log: readonly LogRow[]): string[] {
  const places = placesOf(log);
  const slotted = log.every(({ ordering }) => ordering === 'stream');
  const seen = new Map<number, number>();
  const faults: string[] = [];
  for (const { position, sequence } of messages) {
    if (seen.has(position)) faults.push(`twice: ${position} at ${seen.get(position)} and ${sequence}`);
    else if (slotted && places.get(position) !== sequence)
      faults.push(`misplaced: ${position} at ${sequence}, planned for ${places.get(position)}`);
    seen.set(position, sequence);
  }
  return faults;
}

/** Where the log plans further copies: sequence to position and prefix. */
function copiesIn(log: readonly LogRow[]): Map<number, { position: number; prefix: string | null }> {
  const copies = new Map<number, { position: number; prefix: string | null }>();
  for (const { kind, firstSequence, positions, prefix = null } of log) {
    if (kind !== 'replay') continue;
    positions.forEach((position, i) => void copies.set(firstSequence + i, { position, prefix }));
  }
  return copies;
}

/** Undefined where no copy of its event is planned. */
function prefixOf(
  copies: ReturnType<typeof copiesIn>,
  { sequence, position }: StreamMessage,
): string | null | undefined {
  const copy = copies.get(sequence);
  return copy?.position === position ? copy.prefix : undefined;
}

function isCopy(row: OutboxRow, message: StreamMessage): boolean {
  return row.eventId === message.eventId && row.payload === message.payload;
}

/** Batch numbers and epochs that go back, rows that are not as long as they say, plans that overlap. */
function faultsOfLog(log: readonly LogRow[]): string[] {
  const faults: string[] = [];
  let [batch, epoch, end] = [0, 0, 0];
  for (const row of log) {
    if (row.batch !== batch + 1) faults.push(`batch ${row.batch} follows batch ${batch}`);
    if (row.epoch < epoch) faults.push(`batch ${row.batch} is of epoch ${row.epoch} after epoch ${epoch}`);
    if (row.lastSequence - row.firstSequence + 1 !== row.positions.length)
      faults.push(`batch ${row.batch} has ${row.positions.length} events`);
    [batch, epoch] = [row.batch, row.epoch];
    if (row.kind === 'found' || row.kind === 'marker' || row.ordering !== 'stream') continue;
    if (row.firstSequence <= end) faults.push(`batch ${row.batch} begins inside an older plan`);
    end = row.lastSequence;
  }
  return [...faults, ...plannedTwice(log)];
}

function plannedTwice(log: readonly LogRow[]): string[] {
  const planned = new Set<number>();
  const faults: string[] = [];
  for (const position of log.filter(({ kind }) => kind === 'new').flatMap(({ positions }) => positions)) {
    if (planned.has(position)) faults.push(`position ${position} is planned twice as new`);
    planned.add(position);
  }
  return faults;
}
