import { parseArgs } from 'node:util';
import { startNats, startPostgres } from '../src/embedded/index.ts';
import { consoleOpen } from './console.ts';
import { consuming } from './consume.ts';
import { drain } from './drain.ts';
import { failover } from './failover.ts';
import { footprint } from './footprint.ts';
import { describeHost } from './host.ts';
import { type BenchResult, printTable } from './report.ts';

/** What a benchmark gets: servers of its own, nothing else on them. */
export interface BenchContext {
  readonly databaseUrl: string;
  readonly natsUrl: string;
  /** Interleaved repetitions of each variant. */
  readonly runs: number;
  readonly quick: boolean;
  /** For people; results go through the return value. */
  readonly note: (line: string) => void;
}

const BENCHES: Record<string, (context: BenchContext) => Promise<BenchResult[]>> = {
  drain,
  consume: consuming,
  failover,
  console: consoleOpen,
  footprint,
};

const USAGE = `npm run bench [-- NAME ...] [--quick] [--runs N] [--json]

Measures on servers it starts itself, and compares ratios within one run.
  NAME       ${Object.keys(BENCHES).join(', ')} (default: all)
  --quick    smaller loads and 3 runs instead of 5
  --runs N   interleaved repetitions of each variant
  --json     results as JSON on stdout instead of the table`;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      runs: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return void process.stdout.write(`${USAGE}\n`);
  const names = positionals.length > 0 ? positionals : Object.keys(BENCHES);
  const unknown = names.filter((name) => BENCHES[name] === undefined);
  if (unknown.length > 0) throw new Error(`no benchmark is called ${unknown.join(', ')}\n\n${USAGE}`);
  const note = (line: string) => void process.stderr.write(`${line}\n`);
  await using postgres = await startPostgres({ settings: { max_wal_size: '4GB' } });
  await using nats = await startNats();
  const versions = { node: process.version, postgres: postgres.version, nats: nats.version };
  note(`PostgreSQL ${versions.postgres}, NATS ${versions.nats}, Node ${versions.node}`);
  const runs = values.runs === undefined ? (values.quick ? 3 : 5) : Number(values.runs);
  const context: BenchContext = {
    databaseUrl: postgres.url,
    natsUrl: nats.url,
    runs,
    quick: values.quick,
    note,
  };
  const results: BenchResult[] = [];
  for (const name of names) results.push(...((await BENCHES[name]?.(context)) ?? []));
  const report = { host: describeHost(), versions, results };
  if (values.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  else printTable(report);
}

await main();
