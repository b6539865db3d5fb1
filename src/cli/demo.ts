import { randomInt } from 'node:crypto';
import { type Command, InvalidArgumentError } from 'commander';
import { watchStopSignals } from '../daemon/stop-signals.ts';
import { PostcommitError } from '../errors.ts';
import { aborted } from '../lifecycle/abort.ts';
import { type CliContext, printLine } from './context.ts';
import { EXIT_CODES_HELP } from './exit-codes.ts';

interface Flags {
  readonly seconds: number;
  readonly seed?: string;
  readonly keep?: true;
  readonly json?: true;
}

const DEFAULT_SECONDS = 11;

export function registerDemo(program: Command, context: CliContext): void {
  const command = program
    .command('demo')
    .summary('watch events leave PostgreSQL once and in order while relays are killed')
    .description(
      'Plays a patient registry: clinics write, relays publish and are killed with SIGKILL, a service keeps a read model. Then it counts in PostgreSQL, in the stream and in the read model, and fails if anything was lost, invented, doubled or reordered. Starts servers of its own, or uses DATABASE_URL and NATS_URL with a scratch database and stream.',
    )
    .option('--seconds <n>', 'how long the clinics work', wholeSeconds, DEFAULT_SECONDS)
    .option('--seed <text>', 'repeat the decisions of an earlier run (default: a new one)')
    .option('--keep', 'leave everything running after the proof, until SIGINT or SIGTERM')
    .option('--json', 'print the proof as JSON, and progress to standard error')
    .addHelpText('after', EXAMPLES + EXIT_CODES_HELP)
    .action(() => demo(command.opts<Flags>(), context));
}

const EXAMPLES = `
With NATS_URL, the settings for logging in there (NATS_CREDS, NATS_CA, …) are those of postcommit relay.

Examples:
  postcommit demo
  postcommit demo --seed 7 --seconds 30
  postcommit demo --keep                # and look around with psql, nats and curl
`;

async function demo(flags: Flags, { env, stdout, stderr }: CliContext): Promise<void> {
  // Only this command needs them, and the help of the others should not wait for them.
  const { runDemo } = await import('../demo/run-demo.ts');
  const { reportJson, reportLines, summary } = await import('../demo/report.ts');
  const { createScreen } = await import('../demo/screen.ts');
  const { createStyle } = await import('../demo/style.ts');
  const output = flags.json ? stderr : stdout;
  const style = createStyle(output.isTTY === true && (env.NO_COLOR ?? '') === '');
  const signals = watchStopSignals();
  try {
    await runDemo({
      seed: flags.seed ?? String(randomInt(1_000_000)),
      seconds: flags.seconds,
      env,
      relayArgv: [process.execPath, ...process.execArgv, process.argv[1] ?? '', 'relay', '--json'],
      screen: createScreen(output),
      style,
      signal: signals.requested,
      async onResult(result, addresses) {
        if (flags.json) printLine(stdout, JSON.stringify({ ...reportJson(result), ...addresses }));
        else for (const line of reportLines(result, style)) printLine(stdout, line);
        if (flags.keep) {
          for (const line of keepLines(addresses)) printLine(output, line);
          await aborted(signals.requested);
        }
        if (!result.proof.ok) throw failed(summary(result.proof), result.seed);
      },
    });
  } finally {
    signals.release();
  }
}

function keepLines(addresses: {
  databaseUrl: string;
  natsUrl: string;
  stream: string;
  consoleUrls: readonly string[];
}): string[] {
  return [
    '',
    'Everything is still running:',
    `  export DATABASE_URL='${addresses.databaseUrl}'`,
    `  export NATS_URL='${addresses.natsUrl}'`,
    `  stream   ${addresses.stream}`,
    ...addresses.consoleUrls.map((url) => `  console  ${url}`),
    'Ctrl-C stops it and removes everything.',
  ];
}

function failed(counts: string, seed: string): PostcommitError {
  return new PostcommitError(
    'service-failed',
    `the proof failed: ${counts}`,
    `Repeat it with --seed ${seed}, and with --keep to look into the database and the stream.`,
  );
}

function wholeSeconds(value: string): number {
  const seconds = Number(value);
  if (/^\d{1,4}$/.test(value) && seconds >= 1) return seconds;
  throw new InvalidArgumentError('Expected a whole number of seconds from 1 to 9999.');
}
