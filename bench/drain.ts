import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import pg from 'pg';
import { migrate } from '../src/migrate/index.ts';
import type { BenchContext } from './main.ts';
import { processUsage } from './process-usage.ts';
import { type BenchResult, median, spreadOf } from './report.ts';
import { spawnRelay } from './spawn-relay.ts';
import { countFaults, readStream, waitForMessages } from './stream-facts.ts';

/** One run of one variant. */
interface Run {
  readonly rate: number;
  readonly cpuMicrosPerEvent: number;
  /** Highest resident memory seen, in MiB. */
  readonly memory: number;
  readonly lost: number;
  readonly twice: number;
  readonly disorder: number;
}

const PAYLOAD_BYTES = 256;
const DRAIN_TIMEOUT_MS = 120_000;

/**
 * Drains a backlog in `stream` ordering, beside the stock client's pipelined `js.publish` and our publisher from
 * memory. The rate is counted from the first to the last message by the server's clock, alike for all three.
 */
export async function drain(context: BenchContext): Promise<BenchResult[]> {
  const count = context.quick ? 50_000 : 200_000;
  const variants = { relay: [] as Run[], stock: [] as Run[], bare: [] as Run[] };
  for (let run = 1; run <= context.runs; run++) {
    for (const variant of ['stock', 'relay', 'bare'] as const) {
      const stream = `drain_${variant}_${run}`;
      const result = await (variant === 'relay' ? drainBacklog : publishFromMemory)(context, {
        variant,
        stream,
        count,
      });
      variants[variant].push(result);
      context.note(
        `drain ${run}/${context.runs} ${variant}: ${Math.round(result.rate)} events/s, ${result.cpuMicrosPerEvent.toFixed(1)} us CPU an event, ${Math.round(result.memory)} MiB`,
      );
    }
  }
  const [relay, stock, bare] = [variants.relay, variants.stock, variants.bare].map((runs) =>
    runs.map((run) => run.rate),
  ) as [number[], number[], number[]];
  const faults = variants.relay.reduce(
    (sum, run) => ({
      lost: sum.lost + run.lost,
      twice: sum.twice + run.twice,
      disorder: sum.disorder + run.disorder,
    }),
    { lost: 0, twice: 0, disorder: 0 },
  );
  const cpu = variants.relay.map((run) => run.cpuMicrosPerEvent);
  const stockCpu = variants.stock.map((run) => run.cpuMicrosPerEvent);
  const memory = variants.relay.map((run) => run.memory);
  const none = { lost: null, twice: null, disorder: null };
  return [
    {
      name: 'drain-stream',
      unit: 'events/s',
      median: median(relay),
      spread: spreadOf(relay),
      baseline: 'stock-client',
      ratio: median(relay) / median(stock),
      ...faults,
    },
    {
      name: 'drain-stream-of-publisher',
      unit: 'events/s',
      median: median(relay),
      spread: spreadOf(relay),
      baseline: 'publisher-from-memory',
      ratio: median(relay) / median(bare),
      ...faults,
    },
    {
      name: 'stock-client',
      unit: 'events/s',
      median: median(stock),
      spread: spreadOf(stock),
      baseline: null,
      ratio: null,
      ...none,
    },
    {
      name: 'publisher-from-memory',
      unit: 'events/s',
      median: median(bare),
      spread: spreadOf(bare),
      baseline: null,
      ratio: null,
      ...none,
    },
    {
      name: 'relay-cpu-per-event',
      unit: 'us',
      median: median(cpu),
      spread: spreadOf(cpu),
      baseline: 'stock-client',
      ratio: median(cpu) / median(stockCpu),
      ...none,
    },
    {
      name: 'relay-memory-peak',
      unit: 'MiB',
      median: median(memory),
      spread: spreadOf(memory),
      baseline: null,
      ratio: null,
      ...none,
    },
  ];
}

interface Task {
  readonly variant: 'relay' | 'stock' | 'bare';
  readonly stream: string;
  readonly count: number;
}

async function drainBacklog({ databaseUrl, natsUrl }: BenchContext, { stream, count }: Task): Promise<Run> {
  const url = new URL(databaseUrl);
  url.pathname = `/${stream}`;
  await query(databaseUrl, `create database ${stream}`);
  await migrate({ url: url.href });
  await query(
    url.href,
    `insert into postcommit.outbox (subject, payload)
     select '${stream}.bench', convert_to(repeat('x', ${PAYLOAD_BYTES}), 'UTF8') from generate_series(1, ${count})`,
  );
  await query(url.href, 'checkpoint');
  const relay = spawnRelay({ databaseUrl: url.href, natsUrl, stream });
  try {
    await waitForMessages(natsUrl, { stream, count, timeoutMs: DRAIN_TIMEOUT_MS });
    const usage = await processUsage(relay.pid ?? 0);
    const facts = await readStream(natsUrl, stream, 'Postcommit-Position');
    const expected = Array.from({ length: count }, (_, i) => i + 1);
    return {
      rate: facts.count / facts.seconds,
      cpuMicrosPerEvent: usage.cpuMicros / count,
      memory: usage.peakMiB,
      ...countFaults(facts.numbers, expected),
    };
  } finally {
    const exited = once(relay, 'exit');
    relay.kill('SIGTERM');
    await exited;
    await query(databaseUrl, `drop database ${stream} with (force)`);
    await deleteStream(natsUrl, stream);
  }
}

async function publishFromMemory({ natsUrl }: BenchContext, { variant, stream, count }: Task): Promise<Run> {
  await createStream(natsUrl, stream);
  try {
    const script = fileURLToPath(new URL('./publish-from-memory.ts', import.meta.url));
    const child = spawn(
      process.execPath,
      [script, variant, natsUrl, stream, String(count), String(PAYLOAD_BYTES)],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
    });
    const [code] = await once(child, 'close');
    if (code !== 0) throw new Error(`publishing from memory (${variant}) failed`);
    const { cpuMicros, rss } = JSON.parse(output) as { cpuMicros: number; rss: number };
    const facts = await readStream(natsUrl, stream, 'Bench-Number');
    const expected = Array.from({ length: count }, (_, i) => i + 1);
    return {
      rate: facts.count / facts.seconds,
      cpuMicrosPerEvent: cpuMicros / count,
      memory: rss / 2 ** 20,
      ...countFaults(facts.numbers, expected),
    };
  } finally {
    await deleteStream(natsUrl, stream);
  }
}

async function query(url: string, text: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}

async function createStream(natsUrl: string, name: string): Promise<void> {
  const connection = await connect({ servers: natsUrl });
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name, subjects: [`${name}.>`], duplicate_window: 30_000_000_000 });
  await connection.close();
}

async function deleteStream(natsUrl: string, name: string): Promise<void> {
  const connection = await connect({ servers: natsUrl });
  const manager = await jetstreamManager(connection);
  await manager.streams.delete(name).catch(() => false);
  await connection.close();
}
