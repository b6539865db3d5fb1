import pg from 'pg';
import { type EmbeddedPostgres, startPostgres } from '../../../src/embedded/index.ts';
import { sleep } from '../../../src/lifecycle/abort.ts';
import { migrate } from '../../../src/migrate/index.ts';
import type { Chronicle } from '../chronicle.ts';
import { type Brokers, startBrokers } from './brokers.ts';
import { type ConsumerPlace, openConsumerPlace } from './consumers.ts';
import type { Plan } from './plan.ts';
import { openRelayPlace, type RelayPlace } from './relays.ts';
import { DISPLACEMENTS, SCHEMA } from './schema.ts';
import { openWriters, type Writers } from './writers.ts';

/** Everything that runs in a run of the whole system. */
export interface World extends AsyncDisposable {
  readonly plan: Plan;
  readonly chronicle: Chronicle;
  readonly stream: string;
  readonly postgres: EmbeddedPostgres;
  readonly brokers: Brokers;
  readonly relays: readonly RelayPlace[];
  readonly consumers: readonly ConsumerPlace[];
  readonly writers: Writers;
  readonly pool: pg.Pool;
  readonly leaseTtlMs: number;
  /** Waits until a relay leads; undefined if none does in time. */
  leader(timeoutMs?: number): Promise<RelayPlace | undefined>;
  /** Everything that was stopped, killed or cut off runs and is connected again. */
  mend(): Promise<void>;
}

export const STREAM = 'registry';
const SUBJECTS = ['*.patient.>', '*.import.>'];
export const DURABLE = 'directory';
const LEASE_TTL_MS = 2_000;
const SHORT_RETENTION_MS = 4_000;
const DAY_MS = 24 * 60 * 60 * 1_000;

export interface WorldOptions {
  readonly seed: number;
  readonly plan: Plan;
  readonly chronicle: Chronicle;
  /** Where the writers' history goes. */
  readonly historyPath?: string | undefined;
}

export async function openWorld({ seed, plan, chronicle, historyPath }: WorldOptions): Promise<World> {
  const stack = new AsyncDisposableStack();
  try {
    const postgres = stack.use(await startPostgres({ settings: { max_connections: '60' } }));
    await migrate({ url: postgres.url });
    const brokers = stack.use(await startBrokers(plan.brokers, STREAM));
    await brokers.jsm.streams.add({
      name: STREAM,
      subjects: SUBJECTS,
      num_replicas: brokers.replicas,
      duplicate_window: plan.duplicateWindowMs * 1_000_000,
    });
    const pool = new pg.Pool({ connectionString: postgres.url, max: 4, connectionTimeoutMillis: 2_000 });
    pool.on('error', () => undefined);
    stack.defer(() => pool.end());
    await pool.query(SCHEMA);
    await pool.query(DISPLACEMENTS);
    const servers = { databaseUrl: postgres.url, natsUrl: brokers.url };
    const places = await Promise.all(
      [1, 2].map((number) =>
        openRelayPlace(`relay ${number}`, servers, { options: relayOptions(plan), chronicle }),
      ),
    );
    for (const place of places) stack.use(place);
    const consumers = await Promise.all(
      [1, 2].map((number) =>
        openConsumerPlace(`consumer ${number}`, servers, {
          options: { stream: STREAM, durable: DURABLE, subjects: ['*.patient.>'] },
          chronicle,
        }),
      ),
    );
    for (const place of consumers) stack.use(place);
    const writers = stack.use(
      await openWriters(servers, {
        settings: { seed: String(seed), writers: 6, pauseMs: 80, bulkRows: 4_000 },
        chronicle,
        historyPath,
      }),
    );
    const running = stack.move();
    const world: World = {
      plan,
      chronicle,
      stream: STREAM,
      postgres,
      brokers,
      relays: places,
      consumers,
      writers,
      pool,
      leaseTtlMs: LEASE_TTL_MS,
      async leader(timeoutMs = 15_000) {
        for (const deadline = performance.now() + timeoutMs; performance.now() < deadline; await sleep(20)) {
          const leading = places.find((place) => place.leads && !place.frozen);
          if (leading !== undefined) return leading;
        }
        return undefined;
      },
      mend: () => mend(world),
      [Symbol.asyncDispose]: () => running.disposeAsync(),
    };
    return world;
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

function relayOptions({ ordering, deadLetters, retention }: Plan) {
  return {
    lane: { stream: STREAM, subjects: SUBJECTS, ordering, deadLetters },
    leaseTtlMs: LEASE_TTL_MS,
    retentionMs: retention === 'short' ? SHORT_RETENTION_MS : DAY_MS,
    segmentBytes: retention === 'short' ? 512 * 1024 : 256 * 1024 * 1024,
    blockMs: 2 * LEASE_TTL_MS,
    graceMs: 5_000,
  };
}

async function mend({ postgres, brokers, relays, consumers, writers }: World): Promise<void> {
  await Promise.all([postgres.start(), brokers.start()]);
  for (const { ways } of [...relays, ...consumers, writers]) await ways.heal();
  for (const actor of [...relays, ...consumers]) {
    actor.signal('SIGCONT');
    actor.start();
  }
  writers.start();
}
