import type { Command } from 'commander';
import type { Console } from '../console/console.ts';
import { loadRelayConfig, type RelayConfig } from '../daemon/config.ts';
import type { RelayHealth } from '../daemon/health.ts';
import { json, startHttpServer } from '../daemon/http-server.ts';
import { watchStopSignals } from '../daemon/stop-signals.ts';
import type { HttpAddress } from '../daemon/values.ts';
import { PostcommitError } from '../errors.ts';
import { aborted } from '../lifecycle/abort.ts';
import { packageVersion } from '../telemetry/package-version.ts';
import { type CliContext, printLine } from './context.ts';
import { EXIT_CODES_HELP } from './exit-codes.ts';
import { LOOK_SETTINGS } from './look.ts';
import { addSettingOptions, configSources } from './setting-options.ts';

export function registerConsole(program: Command, context: CliContext): void {
  const command = program
    .command('console')
    .summary('the web console, in a process of its own')
    .description(
      'Serves the web console that a relay serves as well, without relaying: what is published, what waits, streams and consumers, and dead letters to decide about.',
    )
    .addHelpText('after', EXAMPLES + EXIT_CODES_HELP)
    .action(async () => {
      const config = loadRelayConfig(configSources(command, context));
      if (config.http === null)
        throw new PostcommitError(
          'config-invalid',
          'POSTCOMMIT_HTTP is off, and a console is nothing without it',
          'Set it to host:port, for example 127.0.0.1:9466.',
        );
      await serve(config, config.http, context);
    });
  addSettingOptions(command, [...LOOK_SETTINGS, 'http', 'console', 'consoleToken']);
}

const EXAMPLES = `
It looks, and changes nothing, unless POSTCOMMIT_CONSOLE_TOKEN is set: whoever has the token may retry and discard
dead letters and see payloads. It needs no more rights in PostgreSQL than an operator.

Examples:
  postcommit console --http 127.0.0.1:9466
  POSTCOMMIT_CONSOLE_TOKEN_FILE=/run/secrets/console postcommit console
`;

async function serve(config: RelayConfig, address: HttpAddress, { stdout }: CliContext): Promise<void> {
  const signals = watchStopSignals();
  try {
    await using page = await consoleOf(config);
    const server = await startHttpServer(address, {
      ...page.routes,
      '/livez': () => json(200, { status: 'alive' }),
    });
    // The server alone does not keep a process alive.
    const awake = setInterval(() => undefined, 60_000);
    printLine(stdout, JSON.stringify({ event: 'ready', http: server.url }));
    await aborted(signals.requested);
    clearInterval(awake);
    await server.close();
  } finally {
    signals.release();
  }
}

/** The console for these settings; with the relay of this process, if there is one. */
export async function consoleOf(
  config: RelayConfig,
  { relay }: { relay?: { status(): RelayHealth } } = {},
): Promise<Console> {
  const { createConsole } = await import('../console/console.ts');
  return createConsole({
    databaseUrl: config.databaseUrl,
    natsSettings: config.natsSettings,
    streams: config.lanes.map(({ stream }) => stream),
    access: { token: config.consoleToken, hosts: config.consoleHosts ?? [] },
    version: packageVersion(),
    relay: relay === undefined ? undefined : () => relay.status(),
  });
}
