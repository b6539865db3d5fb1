import { spawn } from 'node:child_process';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { messageOf } from '../../src/errors.ts';
import { natsServerOf } from '../support/nats-server-versions.ts';
import { postgresOf } from '../support/postgres-versions.ts';
import { CELLS, type Cell, nameOf } from './cells.ts';

const program = new Command('test:matrix')
  .description(
    'Runs the tests that concern servers on each PostgreSQL and each NATS, alone and as a cluster.',
  )
  .option('--only <text>', 'cells whose name contains it', parseCells, CELLS)
  .option('--files <names>', 'only test files whose path contains one of these, by commas')
  .option('--list', 'names the cells and runs nothing')
  .addHelpText(
    'after',
    `
What failed is in .cache/matrix, a file for each cell.
Exit codes: 0 all passed; 1 something did not; 2 wrong usage.

Examples:
  npm run test:matrix
  npm run test:matrix -- --only "2.10.27 R3"
  npm run test:matrix -- --only "PostgreSQL 15" --files guarantees/g2,guarantees/g8`,
  )
  .configureOutput({ outputError: (text, write) => write(text) })
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));

interface Options {
  readonly only: readonly Cell[];
  readonly files?: string;
  readonly list?: true;
}

interface Outcome {
  readonly passed: number;
  readonly failed: number;
  /** Why there is nothing to count. */
  readonly trouble?: string;
}

const ROOT = new URL('../..', import.meta.url).pathname;
const FOLDER = join(ROOT, '.cache', 'matrix');

const options = program.parse().opts<Options>();
let allPassed = true;
for (const cell of options.only) {
  if (options.list) {
    process.stdout.write(`${nameOf(cell)}\n`);
    continue;
  }
  const startedAtMs = performance.now();
  const outcome = await runCell(cell, options).catch(
    (error: unknown): Outcome => ({ passed: 0, failed: 0, trouble: messageOf(error) }),
  );
  const good = outcome.failed === 0 && outcome.passed > 0 && outcome.trouble === undefined;
  allPassed &&= good;
  const counts = `${outcome.passed} passed, ${outcome.failed} failed`;
  const seconds = Math.round((performance.now() - startedAtMs) / 1_000);
  process.stdout.write(
    `${good ? 'ok    ' : 'FAILED'}  ${nameOf(cell)}: ${outcome.trouble ?? counts}, ${seconds} s\n`,
  );
}
process.exitCode = allPassed ? 0 : 1;

async function runCell(cell: Cell, { files }: Options): Promise<Outcome> {
  const name = nameOf(cell).replaceAll(/[^\w.]+/g, '-');
  const results = join(FOLDER, `${name}.json`);
  await mkdir(FOLDER, { recursive: true });
  await rm(results, { force: true });
  const nats = await natsServerOf(cell.nats);
  const env = {
    ...process.env,
    // Servers of the caller's own are of one version.
    DATABASE_URL: '',
    NATS_URL: '',
    NATS_SERVER_BIN: nats.path,
    POSTCOMMIT_TEST_POSTGRES_BIN: await postgresOf(cell.postgres),
    POSTCOMMIT_TEST_REPLICAS: String(cell.replicas),
  };
  const chosen = files?.split(',') ?? cell.files.map((file) => `test/${file}`);
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${results}`];
  await runVitest(['run', ...reporters, ...chosen], env);
  return read(results);
}

function runVitest(args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const vitest = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
  const child = spawn(process.execPath, [vitest, ...args], { cwd: ROOT, env, stdio: ['ignore', 2, 2] });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', () => resolve());
  });
}

async function read(results: string): Promise<Outcome> {
  const { numPassedTests, numFailedTests, numFailedTestSuites, success } = JSON.parse(
    await readFile(results, 'utf8'),
  ) as Record<string, number>;
  const failed = numFailedTests ?? 0;
  // A file whose tests did not even begin counts among the suites alone.
  const trouble = success
    ? {}
    : { trouble: `${numPassedTests} passed, ${failed} failed, in ${numFailedTestSuites} suites` };
  return { passed: numPassedTests ?? 0, failed, ...trouble };
}

function parseCells(text: string): Cell[] {
  const cells = CELLS.filter((cell) => nameOf(cell).includes(text));
  if (cells.length > 0) return cells;
  throw new InvalidArgumentError(`No cell is named so. There are: ${CELLS.map(nameOf).join('; ')}.`);
}
