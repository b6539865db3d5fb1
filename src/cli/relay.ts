import { type Command, Option } from 'commander';
import { loadRelayConfig, type RelayConfig } from '../daemon/config.ts';
import { runDaemon } from '../daemon/run-daemon.ts';
import { SETTING_KEYS } from '../daemon/settings.ts';
import { watchStopSignals } from '../daemon/stop-signals.ts';
import { migrate } from '../migrate/index.ts';
import { createLogger, type Logger } from '../telemetry/logger.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { collectProcessMetrics } from '../telemetry/process-metrics.ts';
import { consoleOf } from './console.ts';
import type { CliContext } from './context.ts';
import { durationOption } from './duration-option.ts';
import { EXIT_CODES_HELP } from './exit-codes.ts';
import { addSettingOptions, configSources } from './setting-options.ts';

interface Flags {
  readonly migrate?: true;
  readonly json?: true;
  readonly grace: number;
}

export function registerRelay(program: Command, context: CliContext): void {
  const command = program
    .command('relay')
    .summary('publish committed events to JetStream')
    .description(
      'Publishes every committed event of the outbox to JetStream, once and in order. Start as many as you like: one leads, the others stand by.',
    )
    .option('--migrate', 'first do what "postcommit migrate" does')
    .addOption(
      new Option('--grace <duration>', 'how long a stop may take to settle what was published')
        .argParser(durationOption)
        .default(10_000, '10s'),
    )
    .option('--json', 'log JSON lines on a terminal too')
    .addHelpText('after', EXAMPLES + EXIT_CODES_HELP)
    .action(async () => {
      const flags = command.opts<Flags>();
      const config = loadRelayConfig(configSources(command, context));
      const pretty = context.stdout.isTTY === true && flags.json !== true;
      const logger = createLogger({ level: config.logLevel, pretty });
      if (flags.migrate) await migrate({ url: config.databaseUrl(), logger });
      await run(config, { logger, graceMs: flags.grace });
    });
  addSettingOptions(command, SETTING_KEYS);
}

const EXAMPLES = `
The log goes to standard output. A line with "event":"ready" follows once it publishes or stands by.
SIGTERM and SIGINT stop it in order; a second signal ends it at once.

Examples:
  DATABASE_URL=postgres://app:secret@db/shop NATS_URL=nats://nats:4222 postcommit relay
  postcommit relay --migrate --stream orders --subjects 'orders.>,returns.>'
  postcommit relay --config postcommit.config.json --http 0.0.0.0:9465
`;

async function run(
  config: RelayConfig,
  { logger, graceMs }: { logger: Logger; graceMs: number },
): Promise<void> {
  const signals = watchStopSignals();
  const { createRelay } = await import('../relay/index.ts');
  const metrics = createMetrics();
  collectProcessMetrics(metrics);
  const relay = createRelay({
    databaseUrl: config.databaseUrl,
    nats: config.natsSettings,
    lanes: config.lanes,
    provision: config.provision,
    cloudEvents: config.cloudEvents,
    retentionMs: config.retentionMs,
    ...(config.source === undefined ? {} : { source: config.source }),
    logger,
    metrics,
  });
  await using page =
    config.http === null || config.consoleHosts === null ? undefined : await consoleOf(config, { relay });
  try {
    await runDaemon({
      relay,
      ...(page === undefined ? {} : { routes: page.routes }),
      metrics,
      logger,
      graceMs,
      http: config.http,
      stopRequested: signals.requested,
    });
  } finally {
    signals.release();
  }
}
