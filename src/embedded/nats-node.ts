import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createGuardian } from './guardian.ts';
import { greetingOf, type NatsFacts } from './nats-server.ts';
import {
  createService,
  type DataFolder,
  prepareDataFolder,
  removeIfTemporary,
  type Service,
} from './service.ts';

/** One server of a cluster. */
export interface NatsNode {
  /** As the cluster calls it. */
  readonly name: string;
  readonly url: string;
  readonly port: number;
  /** HTTP monitoring, without a trailing slash. */
  readonly monitorUrl: string;
  /** The folder in which it keeps its streams. */
  readonly storeDir: string;
  readonly logFile: string;
  readonly version: string;
  /** Of the server as last started. */
  readonly pid: number;
  /** False from `kill` (with a signal that ends it) or `stop` until it is started again. */
  readonly running: boolean;
  /** Sends a signal and returns: SIGKILL to crash it, SIGSTOP and SIGCONT to freeze and thaw it. */
  kill(signal: NodeJS.Signals): void;
  stop(): Promise<void>;
  /** Resolves when it answers clients; its streams may be without a leader then. Same ports and data. */
  start(): Promise<void>;
  /** Stops it and removes its data. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface NatsNodeOptions {
  readonly name: string;
  readonly cluster: string;
  readonly port: number;
  readonly monitorPort: number;
  /** For connections between the nodes. */
  readonly routePort: number;
  /** Of all nodes. */
  readonly routePorts: readonly number[];
  readonly config: string | undefined;
  readonly command: string;
}

export async function startNatsNode(options: NatsNodeOptions): Promise<NatsNode> {
  const folder = await prepareDataFolder('nats-node', undefined);
  const configFile = join(folder.path, 'nats-server.conf');
  await writeFile(configFile, configuration(options, folder));
  const guardian = createGuardian({ signal: 'TERM', temporaryFolder: folder.path });
  const launch = {
    name: 'nats-server',
    command: options.command,
    args: ['--config', configFile],
    logFile: join(folder.path, 'nats-server.log'),
    guardian,
  };
  try {
    const service = await createService({ folder, guardian, launch, probe: () => askOurs(options) });
    return handleOf(service, options, folder);
  } catch (cause) {
    await guardian.dismiss();
    await removeIfTemporary(folder);
    throw cause;
  }
}

function configuration(options: NatsNodeOptions, folder: DataFolder): string {
  const { name, cluster, port, monitorPort, routePort, routePorts, config = '' } = options;
  const routes = routePorts.map((each) => `"nats-route://127.0.0.1:${each}"`).join(', ');
  return `server_name: "${name}"
listen: "127.0.0.1:${port}"
http: "127.0.0.1:${monitorPort}"
jetstream { store_dir: ${JSON.stringify(folder.path)} }
cluster { name: "${cluster}", listen: "127.0.0.1:${routePort}", routes: [ ${routes} ] }
${config}
`;
}

/** Alone it is not healthy, so it only has to greet. With two starts on one port, another server could answer. */
async function askOurs({ name, port, monitorPort }: NatsNodeOptions): Promise<NatsFacts> {
  const facts = await greetingOf(port, `http://127.0.0.1:${monitorPort}`);
  if (facts.serverName !== name) throw new Error(`another server answers on port ${port}`);
  return facts;
}

function handleOf(
  service: Service<NatsFacts>,
  { name, port, monitorPort }: NatsNodeOptions,
  folder: DataFolder,
): NatsNode {
  let running = true;
  const stop = async () => {
    running = false;
    await service.stop('SIGTERM');
  };
  return {
    name,
    url: `nats://127.0.0.1:${port}`,
    port,
    monitorUrl: `http://127.0.0.1:${monitorPort}`,
    storeDir: join(folder.path, 'jetstream'),
    logFile: join(folder.path, 'nats-server.log'),
    get version() {
      return service.facts.version;
    },
    get pid() {
      return service.pid;
    },
    get running() {
      return running;
    },
    kill(signal) {
      if (signal !== 'SIGSTOP' && signal !== 'SIGCONT') running = false;
      service.kill(signal);
    },
    stop,
    async start() {
      await service.start();
      running = true;
    },
    async [Symbol.asyncDispose]() {
      running = false;
      await service.dispose('SIGTERM');
    },
  };
}
