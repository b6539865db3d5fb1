import { parseArgs } from 'node:util';
import { startNats, startPostgres } from '../src/embedded/index.ts';
import { BENCHES } from './benches.ts';
import type { BenchContext } from './context.ts';
import { describeHost, wordsOf } from './report/host.ts';
import type { BenchReport } from './report/report.ts';
import type { BenchOutcome } from './report/result.ts';
import { tableOf } from './report/table.ts';
import { writeReport } from './report/write-report.ts';
import { processUsage, treeCpuMicros } from './servers/process-usage.ts';

/** A server that stalls to write checkpoints would be measured instead of what is asked. */
const POSTGRES_SETTINGS = { max_wal_size: '8GB', shared_buffers: '512MB', max_connections: '200' };
const RUNS = 5;

const USAGE = `npm run bench [-- NAME ...] [--quick] [--runs N] [--json] [--out DIR]

Measures on servers it starts itself, and compares within one run. Prints a table, and writes bench.json and bench.html.
${Object.entries(BENCHES)
  .map(
    ([name, { summary, onlyByName }]) =>
      `  ${name.padEnd(12)} ${summary}${onlyByName ? ' (only by name)' : ''}`,
  )
  .join('\n')}

  --quick      small loads and a single run, in a minute: a look, not a figure to quote
  --runs N     interleaved repetitions of each variant (default ${RUNS}, with --quick 1)
  --json       the report as JSON on stdout instead of the table
  --out DIR    where the files go (default: bench-report)`;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      runs: { type: 'string' },
      out: { type: 'string', default: 'bench-report' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return void process.stdout.write(`${USAGE}\n`);
  const unknown = positionals.filter((name) => BENCHES[name] === undefined);
  if (unknown.length > 0) throw new Error(`no benchmark is called ${unknown.join(', ')}\n\n${USAGE}`);
  const runs = Number(values.runs ?? (values.quick ? 1 : RUNS));
  if (!Number.isInteger(runs) || runs < 1)
    throw new Error(`--runs takes a number from 1 on, not '${values.runs}'`);
  const names = positionals.length > 0 ? positionals : namesOfAll();
  const report = await measure(names, { runs, quick: values.quick });
  const files = await writeReport(report, values.out);
  if (values.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  else process.stdout.write(`${wordsOf(report)}\n\n${tableOf(report)}`);
  note(`\n${files.join('\n')}`);
}

function namesOfAll(): string[] {
  return Object.keys(BENCHES).filter((name) => BENCHES[name]?.onlyByName !== true);
}

async function measure(
  names: readonly string[],
  { runs, quick }: Pick<BenchContext, 'runs' | 'quick'>,
): Promise<BenchReport> {
  const at = new Date().toISOString();
  await using postgres = await startPostgres({ settings: POSTGRES_SETTINGS });
  await using nats = await startNats();
  const context: BenchContext = {
    databaseUrl: postgres.url,
    natsUrl: nats.url,
    serverCpu: async () => ({
      postgresMicros: await treeCpuMicros(postgres.pid),
      natsMicros: (await processUsage(nats.pid)).cpuMicros,
    }),
    runs,
    quick,
    note,
  };
  const outcomes: BenchOutcome[] = [];
  for (const name of names) {
    const startedAtMs = performance.now();
    const outcome = await BENCHES[name]?.run(context);
    if (outcome !== undefined) outcomes.push(outcome);
    note(`${name}: took ${Math.round((performance.now() - startedAtMs) / 1_000)} s`);
  }
  return {
    at,
    command: ['npm run bench --', ...process.argv.slice(2)].join(' '),
    host: describeHost(),
    versions: { node: process.version, postgres: postgres.version, nats: nats.version },
    settings: POSTGRES_SETTINGS,
    runs,
    quick,
    results: outcomes.flatMap(({ results }) => results),
    plots: outcomes.flatMap(({ plots }) => plots ?? []),
  };
}

function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

await main();
