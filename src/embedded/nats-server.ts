import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from './free-port.ts';
import { createGuardian } from './guardian.ts';
import { ensureNatsServer } from './install-nats-server.ts';
import {
  createService,
  type DataFolder,
  onFreePort,
  prepareDataFolder,
  refuseOnWindows,
  removeIfTemporary,
  type Service,
} from './service.ts';

const PROBE_TIMEOUT_MS = 5_000;

export interface EmbeddedNats {
  readonly url: string;
  readonly port: number;
  /** HTTP monitoring, without a trailing slash. */
  readonly monitorUrl: string;
  readonly version: string;
  /** Of the server as last started. */
  readonly pid: number;
  /** Sends a signal and returns: SIGKILL to crash it, SIGSTOP and SIGCONT to freeze and thaw it. */
  kill(signal: NodeJS.Signals): void;
  stop(): Promise<void>;
  /** Does nothing if it runs; after a `kill` waits for its end first. Same ports and data. */
  start(): Promise<void>;
  restart(): Promise<void>;
  /** Stops it and removes temporary data. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface NatsOptions {
  /** Kept when given; otherwise a temporary folder. */
  readonly dataDir?: string | undefined;
  /** Default: a free one. */
  readonly port?: number | undefined;
  readonly monitorPort?: number | undefined;
  /** More lines for the configuration file. */
  readonly config?: string | undefined;
  /** More lines for its `jetstream` block, such as `max_file_store: 1GB`. */
  readonly jetstream?: string | undefined;
  /** Path of the nats-server. Default: see `ensureNatsServer`. */
  readonly binary?: string | undefined;
}

/** Starts a private nats-server with JetStream and resolves once it serves clients and its streams. */
export async function startNats(options: NatsOptions = {}): Promise<EmbeddedNats> {
  refuseOnWindows();
  const { path: command } = await ensureNatsServer({ binary: options.binary });
  const folder = await prepareDataFolder('nats', options.dataDir);
  try {
    return await onFreePort(options.port, (port) => boot(port, { folder, command, options }));
  } catch (cause) {
    await removeIfTemporary(folder);
    throw cause;
  }
}

async function boot(
  port: number,
  { folder, command, options }: { folder: DataFolder; command: string; options: NatsOptions },
): Promise<EmbeddedNats> {
  const monitorPort = options.monitorPort ?? (await freePort());
  const configFile = join(folder.path, 'nats-server.conf');
  const serverName = `postcommit-${randomUUID()}`;
  await writeFile(configFile, configuration({ serverName, folder, port, monitorPort, options }));
  const monitorUrl = `http://127.0.0.1:${monitorPort}`;
  const guardian = createGuardian(
    folder.temporary ? { signal: 'TERM', temporaryFolder: folder.path } : { signal: 'TERM' },
  );
  const launch = {
    name: 'nats-server',
    command,
    args: ['--config', configFile],
    logFile: join(folder.path, 'nats-server.log'),
    guardian,
  };
  try {
    const service = await createService({
      folder,
      guardian,
      launch,
      probe: () => askOurs(serverName, { port, monitorUrl }),
    });
    return handleOf(service, { port, monitorUrl });
  } catch (cause) {
    await guardian.dismiss();
    throw cause;
  }
}

interface Configuration {
  readonly serverName: string;
  readonly folder: DataFolder;
  readonly port: number;
  readonly monitorPort: number;
  readonly options: NatsOptions;
}

function configuration({ serverName, folder, port, monitorPort, options }: Configuration): string {
  const { config = '', jetstream = '' } = options;
  return `server_name: "${serverName}"
listen: "127.0.0.1:${port}"
http: "127.0.0.1:${monitorPort}"
jetstream {
  store_dir: ${JSON.stringify(folder.path)}
  ${jetstream}
}
${config}
`;
}

/** With two starts on one port, the loser would take the winner's answer for its own. */
async function askOurs(
  serverName: string,
  { port, monitorUrl }: { port: number; monitorUrl: string },
): Promise<NatsFacts> {
  const facts = await askNats(port, monitorUrl);
  if (facts.serverName !== serverName) throw new Error(`another server answers on port ${port}`);
  return facts;
}

export interface NatsFacts {
  readonly version: string;
  readonly serverName: string;
}

/** What the server is, from its greeting, after its health check said that all streams are back. */
export async function askNats(port: number, monitorUrl: string): Promise<NatsFacts> {
  const fault = await healthFault(monitorUrl);
  if (fault !== undefined) throw new Error(`not healthy yet: ${fault}`);
  return greetingOf(port, monitorUrl);
}

/** Why the server does not call itself healthy; undefined when it does. */
export async function healthFault(monitorUrl: string): Promise<string | undefined> {
  const health = await fetch(`${monitorUrl}/healthz`, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
  const report = await health.text();
  return health.ok ? undefined : report;
}

/** What the server says about itself to every client, healthy or not. */
export async function greetingOf(port: number, monitorUrl: string): Promise<NatsFacts> {
  const greeting = JSON.parse(
    (await firstLine(port, new URL(monitorUrl).hostname)).replace(/^INFO /, ''),
  ) as Record<string, string>;
  return { version: greeting.version ?? '', serverName: greeting.server_name ?? '' };
}

function firstLine(port: number, host: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host, timeout: PROBE_TIMEOUT_MS });
    socket.once('timeout', () => socket.destroy());
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('connection closed without a greeting')));
    createInterface({ input: socket })
      .on('error', () => {})
      .once('line', (line) => {
        resolve(line);
        socket.destroy();
      });
  });
}

function handleOf(
  service: Service<NatsFacts>,
  { port, monitorUrl }: { port: number; monitorUrl: string },
): EmbeddedNats {
  const stop = () => service.stop('SIGTERM');
  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    monitorUrl,
    get version() {
      return service.facts.version;
    },
    get pid() {
      return service.pid;
    },
    kill: service.kill,
    stop,
    start: service.start,
    async restart() {
      await stop();
      await service.start();
    },
    [Symbol.asyncDispose]: () => service.dispose('SIGTERM'),
  };
}
