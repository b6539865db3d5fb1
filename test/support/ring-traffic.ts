import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { sleep } from '../../src/lifecycle/abort.ts';
import type { RingRig } from './ring-rig.ts';

/** A lock that is not free within this fails the statement. */
const PATIENCE = '50ms';

export interface TrafficWriter {
  /** Event ids of committed transactions. */
  readonly committed: readonly string[];
  readonly failures: readonly string[];
  /** Of a transaction, in milliseconds. */
  readonly slowestMs: number;
  stop(): Promise<void>;
}

export interface TrafficWriterOptions {
  /** Of the role that may only insert, by default. */
  readonly url?: string;
  /** With the event's id as its parameter. */
  readonly insert?: () => string;
  readonly pauseMs?: number;
}

/** Short transactions, one after the other, that do not wait for a lock. */
export async function startTrafficWriter(
  rig: RingRig,
  options: TrafficWriterOptions = {},
): Promise<TrafficWriter> {
  const { url = rig.writerUrl, insert = () => INSERT, pauseMs = 1 } = options;
  const client = await rig.connect(url);
  await client.query(`set lock_timeout = '${PATIENCE}'`);
  const record = { committed: [] as string[], failures: [] as string[], slowestMs: 0 };
  const stopping = new AbortController();
  const done = (async () => {
    while (!stopping.signal.aborted) {
      await transact(client, record, insert);
      await sleep(pauseMs, stopping.signal);
    }
  })();
  return {
    committed: record.committed,
    failures: record.failures,
    get slowestMs() {
      return record.slowestMs;
    },
    async stop() {
      stopping.abort();
      await done;
    },
  };
}

const INSERT = `insert into postcommit.outbox (event_id, subject, payload) values ($1, 'a.b', 'x')`;

async function transact(
  client: pg.Client,
  record: { committed: string[]; failures: string[]; slowestMs: number },
  insert: () => string,
): Promise<void> {
  const eventIds = [randomUUID(), randomUUID()];
  const startedAtMs = performance.now();
  try {
    await client.query('begin');
    for (const id of eventIds) await client.query(insert(), [id]);
    await client.query('commit');
    record.committed.push(...eventIds);
  } catch (error) {
    record.failures.push(String(error));
    await client.query('rollback');
  }
  record.slowestMs = Math.max(record.slowestMs, performance.now() - startedAtMs);
}

export interface TrafficPlanner {
  /** Event ids. */
  readonly planned: ReadonlySet<string>;
  stop(): Promise<void>;
}

/** Plans every visible event that no row of the log names: a relay whose stream stores everything at once. */
export async function startTrafficPlanner(rig: RingRig): Promise<TrafficPlanner> {
  const client = await rig.connect();
  const planned = new Set<string>();
  const stopping = new AbortController();
  const planAll = async () => {
    const { rows } = await client.query(PLAN);
    for (const { event_id } of rows) planned.add(event_id);
  };
  const done = (async () => {
    while (!stopping.signal.aborted) {
      await planAll();
      await sleep(5, stopping.signal);
    }
  })();
  return {
    planned,
    async stop() {
      stopping.abort();
      await done;
      await planAll();
    },
  };
}

const PLAN = `
with covered as materialized (select coalesce(range_agg(positions), '{}') as positions from postcommit.batches),
     fresh as materialized (
       select o.position, o.event_id from postcommit.outbox o, covered where not o.position <@ covered.positions),
     written as (
       insert into postcommit.batches (stream, incarnation, batch, epoch, ordering, kind, first_sequence, last_sequence,
                                       positions, read_to, open_from)
       select 'a', 'i1', (select coalesce(max(batch), 0) + 1 from postcommit.batches), 1, 'stream', 'new',
              (select coalesce(max(last_sequence), 0) + 1 from postcommit.batches),
              (select coalesce(max(last_sequence), 0) from postcommit.batches) + count(*),
              range_agg(int8range(position, position, '[]')),
              greatest(max(position), (select max(read_to) from postcommit.batches)), max(position) + 1
         from fresh having count(*) > 0)
select event_id from fresh`;

export interface TrafficRing {
  /** Turns taken, and the longest of them in milliseconds. */
  readonly turns: number;
  readonly slowestMs: number;
  readonly emptied: number;
  readonly rotated: number;
  stop(): Promise<void>;
}

/** Takes a turn after the other, as nobody would in earnest. */
export async function startTrafficRing(
  rig: RingRig,
  options: { retentionMs: number; segmentBytes?: number },
): Promise<TrafficRing> {
  const ring = rig.ring(options);
  const record = { turns: 0, slowestMs: 0, rotated: 0 };
  const stopping = new AbortController();
  const addSegment = () => {
    record.rotated++;
  };
  const turn = async () => {
    const startedAtMs = performance.now();
    await ring.turn({
      captures: [{ addSegment, state: NOTHING_LIVE }],
      lanes: [{ stream: 'a', settledTo: Number.MAX_SAFE_INTEGER, settledBatch: null }],
      openFrom: Number.MAX_SAFE_INTEGER,
    });
    record.turns++;
    record.slowestMs = Math.max(record.slowestMs, performance.now() - startedAtMs);
  };
  const done = (async () => {
    while (!stopping.signal.aborted) {
      await turn();
      await sleep(2, stopping.signal);
    }
  })();
  return {
    get turns() {
      return record.turns;
    },
    get slowestMs() {
      return record.slowestMs;
    },
    get rotated() {
      return record.rotated;
    },
    get emptied() {
      return rig.lines.filter(({ event }) => event === 'segment-emptied').length;
    },
    async stop() {
      stopping.abort();
      await done;
    },
  };
}

/** The ring itself sees which leaf is in use; what a reader would add to that is left out, so that it has the least. */
const NOTHING_LIVE = { cursor: 0, openFrom: 1, gapsOpen: 0, segment: -1, liveSegments: [] };
