import { mkdir } from 'node:fs/promises';
import { CommanderError } from 'commander';
import { startNats, startPostgres } from '../src/embedded/index.ts';
import { messageOf } from '../src/errors.ts';
import { BENCHES } from './benches.ts';
import type { BenchContext } from './context.ts';
import { type Flags, parseFlags } from './flags.ts';
import { describeHost, wordsOf } from './report/host.ts';
import type { BenchReport } from './report/report.ts';
import type { BenchOutcome } from './report/result.ts';
import { tableOf } from './report/table.ts';
import { writeReport } from './report/write-report.ts';
import { processUsage, treeCpuMicros } from './servers/process-usage.ts';

/** A server that stalls to write checkpoints would be measured instead of what is asked. */
const POSTGRES_SETTINGS = { max_wal_size: '8GB', shared_buffers: '512MB', max_connections: '200' };

async function main(): Promise<void> {
  const { names, runs, quick, json, out } = flagsOrExit();
  await folderOrExit(out);
  const report = await measure(names, { runs, quick });
  const files = await writeReport(report, out);
  if (json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  else process.stdout.write(`${wordsOf(report)}\n\n${tableOf(report)}`);
  note(`\n${files.join('\n')}`);
}

function flagsOrExit(): Flags {
  try {
    return parseFlags(process.argv.slice(2), {
      benches: BENCHES,
      stdout: (text) => process.stdout.write(text),
      stderr: (text) => process.stderr.write(text),
    });
  } catch (error) {
    if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : 2);
    throw error;
  }
}

/** Not after minutes of measuring. */
async function folderOrExit(out: string): Promise<void> {
  try {
    await mkdir(out, { recursive: true });
  } catch (error) {
    note(`error: the report cannot go into '${out}': ${messageOf(error)}`);
    process.exit(2);
  }
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
    try {
      const outcome = await BENCHES[name]?.run(context);
      if (outcome !== undefined) outcomes.push(outcome);
    } catch (error) {
      // What the others measured, or will, is worth as much.
      process.exitCode = 1;
      note(
        `${name}: FAILED, and is not in the report: ${error instanceof Error ? error.stack : String(error)}`,
      );
    }
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
