import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { watchStopSignals } from '../daemon/stop-signals.ts';
import { PostcommitError } from '../errors.ts';
import { aborted } from '../lifecycle/abort.ts';
import { migrate } from '../migrate/index.ts';
import { type CliContext, printLine } from './context.ts';
import { EXIT_CODES_HELP } from './exit-codes.ts';

interface Flags {
  readonly data?: string;
  readonly portPostgres?: number;
  readonly portNats?: number;
  readonly relay?: true;
  readonly json?: true;
}

export function registerDev(program: Command, context: CliContext): void {
  const command = program
    .command('dev')
    .summary('a private, migrated PostgreSQL and NATS for development')
    .description(
      'Starts a private PostgreSQL and a NATS server with JetStream on this machine, migrates the database and prints how to reach both. Runs until SIGINT or SIGTERM.',
    )
    .option('--data <folder>', 'keep the data there (default: a temporary folder, removed at the end)')
    .option('--port-postgres <port>', 'port of PostgreSQL (default: a free one)', portNumber)
    .option('--port-nats <port>', 'port of NATS (default: a free one)', portNumber)
    .option('--relay', 'also run a relay, logging to standard error')
    .option('--json', 'print the addresses as JSON')
    .addHelpText('after', EXAMPLES + EXIT_CODES_HELP)
    .action(() => dev(command.opts<Flags>(), context));
}

const EXAMPLES = `
Examples:
  postcommit dev
  postcommit dev --data .postcommit --port-postgres 5433 --port-nats 4223 --relay
`;

async function dev(flags: Flags, context: CliContext): Promise<void> {
  const signals = watchStopSignals();
  printLine(context.stderr, 'starting PostgreSQL and NATS …');
  const services = await startServices(flags);
  try {
    await migrate({ url: services.databaseUrl });
    announce(services, flags, context);
    if (flags.relay) await runRelay(services, signals.requested, context);
    else await aborted(signals.requested);
    printLine(context.stderr, 'stopping …');
  } finally {
    await services.stop();
    signals.release();
  }
}

interface Services {
  readonly databaseUrl: string;
  readonly natsUrl: string;
  stop(): Promise<void>;
}

async function startServices({ data, portPostgres, portNats }: Flags): Promise<Services> {
  // Only this command needs them, and the help of the others should not wait for them.
  const { startNats, startPostgres } = await import('../embedded/index.ts');
  const below = (name: string) => (data === undefined ? undefined : join(data, name));
  const [postgres, nats] = await Promise.allSettled([
    startPostgres({ dataDir: below('postgres'), port: portPostgres }),
    startNats({ dataDir: below('nats'), port: portNats }),
  ]);
  const stop = async () => {
    for (const server of [nats, postgres])
      if (server.status === 'fulfilled') await server.value[Symbol.asyncDispose]();
  };
  if (postgres.status === 'fulfilled' && nats.status === 'fulfilled')
    return { databaseUrl: postgres.value.url, natsUrl: nats.value.url, stop };
  await stop();
  throw postgres.status === 'rejected' ? postgres.reason : (nats as PromiseRejectedResult).reason;
}

function announce({ databaseUrl, natsUrl }: Services, { json }: Flags, { stdout, stderr }: CliContext): void {
  if (json) {
    printLine(stdout, JSON.stringify({ event: 'ready', DATABASE_URL: databaseUrl, NATS_URL: natsUrl }));
  } else {
    printLine(stdout, `export DATABASE_URL='${databaseUrl}'`);
    printLine(stdout, `export NATS_URL='${natsUrl}'`);
  }
  printLine(stderr, 'ready: press Ctrl-C to stop');
}

/** In a process of its own, as it would run elsewhere; it ends before the services do. */
async function runRelay(services: Services, stop: AbortSignal, context: CliContext): Promise<void> {
  const main = process.argv[1] ?? '';
  const relay = spawn(process.execPath, [...process.execArgv, main, 'relay'], {
    env: relayEnv(services, context),
    stdio: ['ignore', 'pipe', 'inherit'],
    // Ctrl-C goes to the whole group of a terminal: the relay would hear it twice and end at once.
    detached: true,
  });
  relay.stdout?.pipe(context.stderr, { end: false });
  const ended = once(relay, 'exit');
  await Promise.race([ended, aborted(stop)]);
  if (relay.exitCode === null && relay.signalCode === null) {
    relay.kill('SIGTERM');
    await ended;
  }
  if (stop.aborted) return;
  throw new PostcommitError(
    'service-failed',
    `the relay ended by itself with ${relay.signalCode ?? `code ${relay.exitCode}`}`,
    'Its messages are above; without --relay the services run alone.',
  );
}

/** Without what the environment says about other servers: a login for those would be refused by ours. */
function relayEnv({ databaseUrl, natsUrl }: Services, { env }: CliContext): NodeJS.ProcessEnv {
  const kept = Object.entries(env).filter(([name]) => !/^(NATS|DATABASE_URL)_/.test(name));
  return { ...Object.fromEntries(kept), DATABASE_URL: databaseUrl, NATS_URL: natsUrl };
}

function portNumber(value: string): number {
  const port = Number(value);
  if (/^\d{1,5}$/.test(value) && port >= 1 && port <= 65_535) return port;
  throw new InvalidArgumentError('Expected a port from 1 to 65535.');
}
