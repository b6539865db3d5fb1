import { type JetStreamManager, jetstreamManager, type StreamConfig } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import pg from 'pg';
import { expect, vi } from 'vitest';
import { createRelay, type LaneOptions, type Relay } from '../../src/relay/index.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { type LogLine, type RelayProcess, startRelayProcess } from './relay-process.ts';
import { createMigratedDatabase, natsUrl, replicas, scratchName } from './services.ts';
import { faultsOf, type LogRow, readDead, readLog, readOutbox, readStream } from './stream-history.ts';

/** One outbox with several streams, a lane for each. Events of stream n have subjects below its name. */
export interface Lanes extends AsyncDisposable {
  readonly databaseUrl: string;
  readonly streams: readonly string[];
  readonly pool: pg.Pool;
  readonly jsm: JetStreamManager;
  /** One transaction with so many events for one lane. */
  write(lane: number, count: number): Promise<void>;
  /** Sessions that write small transactions to random lanes until they are stopped. */
  startWriters(): AsyncDisposable & { stop(): Promise<void> };
  startRelay(lanes?: readonly LaneOptions[]): Promise<RunningLanes>;
  startRelayProcess(): Promise<RelayProcess>;
  /** Messages in all streams. */
  stored(): Promise<number>;
  untilStored(count: number): Promise<void>;
  untilDrained(): Promise<void>;
  /** Milliseconds from the commit of an event to its being stored, for events of these lanes in turn. */
  probeLatency(lanes: readonly number[], times: number): Promise<number[]>;
  /** The newest row's `read_to` in a lane's log. */
  readTo(lane: number): Promise<number>;
  /** Takes the subjects of one stream away and gives them to another. */
  moveSubjects(from: number, to: number): Promise<void>;
}

export interface RunningLanes extends AsyncDisposable {
  readonly relay: Relay;
  readonly metrics: Metrics;
  readonly lines: readonly LogLine[];
}

const PATIENCE_MS = 20_000;

export async function openLanes(
  count: number,
  configs: Readonly<Record<number, Partial<StreamConfig>>> = {},
  options: { natsUrl?: string } = {},
): Promise<Lanes> {
  const nats = options.natsUrl ?? natsUrl();
  const database = await createMigratedDatabase();
  const pool = new pg.Pool({ connectionString: database.url });
  pool.on('error', () => undefined);
  const connection = await connect({
    servers: nats.split(','),
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
  });
  const jsm = await jetstreamManager(connection);
  const num_replicas = options.natsUrl === undefined ? replicas() : 1;
  const streams = Array.from({ length: count }, () => scratchName('lane'));
  for (const [i, name] of streams.entries())
    await vi.waitFor(() => jsm.streams.add({ name, subjects: [`${name}.>`], num_replicas, ...configs[i] }), {
      timeout: 20_000, // A cluster that has just come up may not place it yet.
    });
  const write = async (lane: number, events: number) =>
    void (await pool.query(
      `insert into postcommit.outbox (subject, payload)
       select $1, convert_to('event ' || i, 'UTF8') from generate_series(1, $2::int) i`,
      [`${streams[lane]}.event`, events],
    ));
  const laneOptions = () => streams.map((stream) => ({ stream, subjects: [`${stream}.>`] }));
  const stored = async () => {
    const infos = await Promise.all(streams.map((name) => jsm.streams.info(name)));
    return infos.reduce((sum, { state }) => sum + state.messages, 0);
  };
  const committed = async (): Promise<number> =>
    (
      await pool.query(
        `select (select count(*) from postcommit.outbox)::int
              - (select count(*) from postcommit.dead_letters where state <> 'resolved')::int as n`,
      )
    ).rows[0].n;
  return {
    databaseUrl: database.url,
    streams,
    pool,
    jsm,
    write,
    startWriters: () => startWriters(database.url, streams),
    startRelay: (lanes = laneOptions()) => startRelay(database.url, nats, lanes),
    startRelayProcess: () =>
      startRelayProcess({ databaseUrl: database.url, natsUrl: nats, lanes: laneOptions() }),
    stored,
    untilStored: (wanted) =>
      expect.poll(stored, { timeout: PATIENCE_MS, interval: 10 }).toBeGreaterThanOrEqual(wanted),
    async untilDrained() {
      await expect
        .poll(async () => (await committed()) - (await stored()), { timeout: PATIENCE_MS, interval: 50 })
        .toBe(0);
    },
    async probeLatency(lanes, times) {
      const latencies: number[] = [];
      for (let i = 0; i < times; i++) {
        const lane = lanes[i % lanes.length] as number;
        latencies.push(await timeOne(streams[lane] as string, { pool, jsm }));
      }
      return latencies;
    },
    async readTo(lane) {
      const log = await pool.query(
        'select read_to::int from postcommit.batches where stream = $1 order by batch desc limit 1',
        [streams[lane]],
      );
      return log.rows[0]?.read_to ?? 0;
    },
    async moveSubjects(from, to) {
      const [source, target] = [streams[from] as string, streams[to] as string];
      await jsm.streams.update(source, { subjects: [`${source}_unused.>`] });
      await jsm.streams.update(target, { subjects: [`${target}.>`, `${source}.>`] });
    },
    async [Symbol.asyncDispose]() {
      for (const name of streams) await jsm.streams.delete(name).catch(() => undefined);
      await connection.close();
      await pool.end();
      await database.drop();
    },
  };
}

async function timeOne(
  stream: string,
  { pool, jsm }: { pool: pg.Pool; jsm: JetStreamManager },
): Promise<number> {
  const subject = `${stream}.probe.${scratchName('p')}`;
  await pool.query(
    `insert into postcommit.outbox (subject, payload) values ($1, convert_to('probe', 'UTF8'))`,
    [subject],
  );
  const startedAtMs = performance.now();
  const isThere = () =>
    jsm.streams.getMessage(stream, { last_by_subj: subject }).then(
      (message) => message !== null,
      () => false,
    );
  await expect.poll(isThere, { timeout: PATIENCE_MS, interval: 5 }).toBe(true);
  return performance.now() - startedAtMs;
}

async function startRelay(
  databaseUrl: string,
  nats: string,
  lanes: readonly LaneOptions[],
): Promise<RunningLanes> {
  const lines: LogLine[] = [];
  const metrics = createMetrics();
  const relay = createRelay({
    databaseUrl: () => databaseUrl,
    nats: () => ({ servers: nats.split(',') }),
    lanes,
    logger: createLogger({ destination: { write: (line: string) => void lines.push(JSON.parse(line)) } }),
    metrics,
  });
  await relay.start();
  return { relay, metrics, lines, [Symbol.asyncDispose]: () => relay.stop({ graceMs: 0 }) };
}

function startWriters(url: string, streams: readonly string[]) {
  let running = true;
  const clients = Array.from({ length: 3 }, () => new pg.Client({ connectionString: url }));
  const done = Promise.all(
    clients.map(async (client) => {
      await client.connect();
      while (running) await writeOnce(client, streams);
      await client.end();
    }),
  );
  const stop = async () => {
    running = false;
    await done;
  };
  return { stop, [Symbol.asyncDispose]: stop };
}

async function writeOnce(client: pg.Client, streams: readonly string[]): Promise<void> {
  await client.query('begin');
  for (let i = 0; i < 3; i++) {
    const stream = streams[Math.floor(Math.random() * streams.length)];
    await client.query(
      `insert into postcommit.outbox (subject, payload) values ($1, convert_to('event', 'UTF8'))`,
      [`${stream}.event`],
    );
  }
  await client.query(Math.random() < 0.1 ? 'rollback' : 'commit');
}

/** What is wrong in any lane; an event belongs into one stream, that of its newest plan. */
export async function faultsOfStreams({ pool, jsm, streams }: Lanes): Promise<string[]> {
  const outbox = await readOutbox(pool);
  const dead = await readDead(pool);
  const logs = await Promise.all(
    streams.map(async (stream) => ({ stream, log: await readLog(pool, stream) })),
  );
  const owners = ownersOf(logs);
  const faults: string[] = [];
  for (const { stream, log } of logs) {
    const isMine = (position: number) => owners.get(position) === stream;
    const messages = await readStream(jsm, stream);
    const rows = outbox.filter(({ position }) => isMine(position));
    const found = faultsOf({ outbox: rows, log, messages, dead: dead.filter(isMine) });
    faults.push(...found.map((fault) => `${stream}: ${fault}`));
  }
  const planned = logs.flatMap(({ log }) =>
    log.flatMap(({ kind, positions }) => (kind === 'new' ? positions : [])),
  );
  if (new Set(planned).size !== planned.length) faults.push('an event is planned as new in two lanes');
  const aside = new Set(dead);
  for (const { position } of outbox)
    if (!owners.has(position) && !aside.has(position)) faults.push(`never planned: ${position}`);
  return faults;
}

/** A retry may go to another lane than the first plan did. */
function ownersOf(logs: readonly { stream: string; log: readonly LogRow[] }[]): Map<number, string> {
  const owners = new Map<number, string>();
  for (const wanted of ['new', 'retry'])
    for (const { stream, log } of logs)
      for (const { kind, positions } of log)
        if (kind === wanted) for (const position of positions) owners.set(position, stream);
  return owners;
}
