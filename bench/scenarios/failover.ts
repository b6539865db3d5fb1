import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { sleep } from '../../src/lifecycle/abort.ts';
import type { Bench } from '../context.ts';
import { type BenchOutcome, type Faults, type Measured, resultOf } from '../report/result.ts';
import { type RelayProcess, startRelay } from '../servers/relay-process.ts';
import { openSite, type Site } from '../servers/site.ts';
import { countFaults, readStream, waitForMessages } from '../servers/stream-facts.ts';

/** What becomes of the leader, and whether another relay stands by. */
type Harm = 'killed' | 'killed-alone' | 'frozen';

const NAMES: Readonly<Record<Harm, string>> = {
  killed: 'takeover-after-sigkill',
  'killed-alone': 'new-process-after-sigkill',
  frozen: 'takeover-after-sigstop-lease-5s',
};
const HARMS = Object.keys(NAMES) as Harm[];
const MOST: Partial<Record<Harm, number>> = { killed: 1_000 };
const WRITE_EVERY_MS = 5;
const STANDING_BY_MS = 300;
const PATIENCE_MS = 30_000;

/**
 * From the signal that ends or freezes the leader to the first event that its successor planned and the stream stored,
 * while a writer commits every few milliseconds. Nothing is set: the lease is the default of five seconds.
 */
export const failover: Bench = {
  summary: 'from the end of the leader to the first event of its successor, after SIGKILL and SIGSTOP',
  async run(context) {
    const times = new Map<Harm, number[]>(HARMS.map((harm) => [harm, []]));
    // A frozen leader holds its lease for seconds, of which most of each round consists.
    const harms = context.quick ? HARMS.filter((harm) => harm !== 'frozen') : HARMS;
    await using site = await openSite(context, { name: 'failover' });
    await using relays = createRelays(site);
    await relays.start();
    await using writing = write(site);
    for (let i = 1; i <= context.runs; i++) {
      for (const harm of harms) {
        const took = await measure(site, { relays, harm });
        times.get(harm)?.push(took);
        context.note(`failover ${i}/${context.runs} ${NAMES[harm]}: ${Math.round(took)} ms`);
      }
    }
    const faults = await faultsOf(site, await writing.stop());
    return outcomeOf(harms, { times, faults });
  },
};

function outcomeOf(
  harms: readonly Harm[],
  seen: { readonly times: ReadonlyMap<Harm, readonly number[]>; readonly faults: Faults },
): BenchOutcome {
  const results = harms.map((harm) => {
    const most = MOST[harm];
    const measured: Measured = {
      name: NAMES[harm],
      unit: 'ms',
      values: seen.times.get(harm) ?? [],
      // Of all rounds together: they follow each other in one stream.
      faults: [seen.faults],
      ...(most === undefined ? {} : { target: { at: 'most', value: most } }),
    };
    return resultOf(measured);
  });
  return { results };
}

interface Relay {
  readonly process: RelayProcess;
  readonly seen: { leads: boolean; epoch: number };
}

interface Relays extends AsyncDisposable {
  /** Ready: it leads or stands by. */
  start(): Promise<Relay>;
  /** The one that leads, and the one that stands by, if there is one. */
  parts(): { readonly leader: Relay | undefined; readonly standby: Relay | undefined };
  /** It has ended. */
  forget(relay: Relay): Promise<void>;
}

function createRelays(site: Site): Relays {
  const all = new Set<Relay>();
  return {
    async start() {
      const seen = { leads: false, epoch: 0 };
      const process = await startRelay(site, {
        onLine({ event, role, epoch }) {
          if (event !== 'role') return;
          seen.leads = role === 'leader';
          if (typeof epoch === 'number') seen.epoch = epoch;
        },
      });
      const relay = { process, seen };
      all.add(relay);
      return relay;
    },
    parts() {
      const [leader] = [...all].filter(({ seen }) => seen.leads);
      return { leader, standby: [...all].find((relay) => relay !== leader) };
    },
    async forget(relay) {
      all.delete(relay);
      await relay.process.stop();
    },
    async [Symbol.asyncDispose]() {
      for (const { process } of all) process.child.kill('SIGCONT');
      await Promise.all([...all].map(({ process }) => process.stop()));
    },
  };
}

/** Milliseconds. Before and after it one relay leads and none stands by. */
async function measure(site: Site, { relays, harm }: { relays: Relays; harm: Harm }): Promise<number> {
  await until(() => relays.parts().leader !== undefined, 'a relay leads');
  const { leader } = relays.parts();
  if (leader === undefined) throw new Error('no relay leads');
  const standby = harm === 'killed-alone' ? undefined : await relays.start();
  await sleep(STANDING_BY_MS);
  const harmedAtMs = Date.now();
  leader.process.child.kill(harm === 'frozen' ? 'SIGSTOP' : 'SIGKILL');
  const successor = standby ?? (await relays.start());
  await until(() => successor.seen.leads, 'the successor leads');
  const took = (await firstStoredAt(site, successor.seen.epoch)) - harmedAtMs;
  if (harm === 'frozen') leader.process.child.kill('SIGCONT');
  await relays.forget(leader);
  return took;
}

/** When the first event that this epoch planned was stored, by the clock of this host, in milliseconds since 1970. */
async function firstStoredAt({ pool, natsUrl, stream }: Site, epoch: number): Promise<number> {
  const connection = await connect({ servers: natsUrl });
  const { streams } = await jetstreamManager(connection);
  let storedAtMs: number | undefined;
  await until(async () => {
    const { rows } = await pool.query(
      `select first_sequence::int as first from postcommit.batches
        where epoch = $1 and last_sequence >= first_sequence order by batch limit 1`,
      [epoch],
    );
    if (rows[0] === undefined) return false;
    const message = await streams.getMessage(stream, { seq: rows[0].first }).catch(() => null);
    storedAtMs = message?.time.getTime();
    return storedAtMs !== undefined;
  }, 'an event of the successor is stored');
  await connection.close();
  return storedAtMs ?? Number.NaN;
}

/** One event after the other. `stop` returns how many were written. */
function write({ pool, stream }: Site): AsyncDisposable & { stop(): Promise<number> } {
  const stopping = new AbortController();
  const writing = (async () => {
    let written = 0;
    for (; !stopping.signal.aborted; written++) {
      await pool.query(`insert into postcommit.outbox (subject, payload) values ($1, 'x')`, [
        `${stream}.bench`,
      ]);
      await sleep(WRITE_EVERY_MS, stopping.signal);
    }
    return written;
  })();
  writing.catch(() => undefined); // Thrown by stop().
  const stop = () => {
    stopping.abort();
    return writing;
  };
  return { stop, [Symbol.asyncDispose]: async () => void (await stop()) };
}

/** One writer, of which no transaction fails: every position is an event, and they were written in this order. */
async function faultsOf({ natsUrl, stream }: Site, written: number): Promise<Faults> {
  await waitForMessages(natsUrl, { stream, count: written, timeoutMs: PATIENCE_MS });
  const { numbers } = await readStream(natsUrl, stream, 'Postcommit-Position');
  return countFaults(
    numbers,
    Array.from({ length: written }, (_, i) => i + 1),
  );
}

async function until(condition: () => Promise<boolean> | boolean, what: string): Promise<void> {
  for (const deadline = performance.now() + PATIENCE_MS; performance.now() < deadline; await sleep(10))
    if (await condition()) return;
  throw new Error(`it did not come about in ${PATIENCE_MS} ms that ${what}`);
}
