import { GenericContainer, getContainerRuntimeClient, type StartedTestContainer } from 'testcontainers';
import {
  type EmbeddedNats,
  type EmbeddedPostgres,
  freePort,
  type NatsOptions,
  type PostgresOptions,
} from '../../src/embedded/index.ts';
import { askNats } from '../../src/embedded/nats-server.ts';
import { askPostgres } from '../../src/embedded/postgres.ts';
import { messageOf, PostcommitError } from '../../src/errors.ts';
import { sleep } from '../../src/lifecycle/abort.ts';

// The second backend of the tests: the same handles as src/embedded, over a container engine.
// Host ports are fixed, so that a server keeps its address when its container stops and starts again.

const POSTGRES_IMAGE = 'postgres:18-alpine';
const NATS_IMAGE = 'nats:2.12-alpine';
const READY_TIMEOUT_MS = 60_000;
const PROBE_PAUSE_MS = 50;

const SIGNALS = { fast: 'SIGINT', immediate: 'SIGQUIT' } as const;

export async function startPostgres(options: PostgresOptions = {}): Promise<EmbeddedPostgres> {
  const engine = await containerEngine();
  const port = options.port ?? (await freePort());
  const settings = Object.entries(options.settings ?? {}).flatMap(([name, value]) => [
    '-c',
    `${name}=${value}`,
  ]);
  const container = new GenericContainer(POSTGRES_IMAGE)
    .withExposedPorts({ container: 5432, host: port })
    .withEnvironment({
      POSTGRES_HOST_AUTH_METHOD: 'trust',
      POSTGRES_INITDB_ARGS: '--locale=C --encoding=UTF8',
    })
    .withCommand(['postgres', ...settings]);
  if (options.dataDir !== undefined)
    container.withBindMounts([{ source: options.dataDir, target: '/var/lib/postgresql' }]);
  const url = `postgres://postgres@${engine.host}:${port}/postgres`;
  const server = await serve(engine, await container.start(), () => askPostgres(url));
  const stop = (mode: 'fast' | 'immediate' = 'fast') => server.stop(SIGNALS[mode]);
  return {
    url,
    port,
    get version() {
      return server.facts.version;
    },
    get pid() {
      return server.pid;
    },
    stop,
    start: server.start,
    async restart(mode) {
      await stop(mode);
      await server.start();
    },
    [Symbol.asyncDispose]: server.remove,
  };
}

export async function startNats(options: NatsOptions = {}): Promise<EmbeddedNats> {
  const engine = await containerEngine();
  const port = options.port ?? (await freePort());
  const monitorPort = options.monitorPort ?? (await freePort());
  const config = `listen: "0.0.0.0:4222"\n${options.config ?? ''}\n`;
  const container = new GenericContainer(NATS_IMAGE)
    .withExposedPorts({ container: 4222, host: port }, { container: 8222, host: monitorPort })
    .withCopyContentToContainer([{ content: config, target: '/etc/nats/test.conf' }])
    .withCommand(['-js', '-m', '8222', '-sd', '/data', '-c', '/etc/nats/test.conf']);
  if (options.dataDir !== undefined) container.withBindMounts([{ source: options.dataDir, target: '/data' }]);
  const monitorUrl = `http://${engine.host}:${monitorPort}`;
  const server = await serve(engine, await container.start(), () => askNats(port, monitorUrl));
  const stop = () => server.stop('SIGTERM');
  return {
    url: `nats://${engine.host}:${port}`,
    port,
    monitorUrl,
    get version() {
      return server.facts.version;
    },
    get pid() {
      return server.pid;
    },
    kill: server.kill,
    stop,
    start: server.start,
    async restart() {
      await stop();
      await server.start();
    },
    [Symbol.asyncDispose]: server.remove,
  };
}

type Engine = Awaited<ReturnType<typeof containerEngine>>;

async function containerEngine() {
  try {
    const client = await getContainerRuntimeClient();
    return { containers: client.container, host: client.info.containerRuntime.host };
  } catch (cause) {
    throw new PostcommitError(
      'service-failed',
      `POSTCOMMIT_TEST_BACKEND=containers needs a container engine: ${messageOf(cause)}`,
      'Start Docker (or set DOCKER_HOST), or unset POSTCOMMIT_TEST_BACKEND to use local servers.',
      { cause },
    );
  }
}

async function serve<Facts>(
  { containers }: Engine,
  started: StartedTestContainer,
  probe: () => Promise<Facts>,
) {
  const container = containers.getById(started.getId());
  let signalled: Promise<unknown> = Promise.resolve();
  let facts: Facts;
  let pid: number;

  async function isRunning() {
    return (await container.inspect()).State.Running;
  }
  async function becomeReady() {
    facts = await untilAnswered(probe);
    // In the engine's process namespace, which need not be ours.
    pid = (await container.inspect()).State.Pid;
  }
  async function stop(signal: NodeJS.Signals) {
    await signalled;
    if (!(await isRunning())) return;
    const exited = container.wait();
    await container.kill({ signal });
    await container.kill({ signal: 'SIGCONT' }).catch(() => {});
    await exited;
  }

  let ending = false;
  await becomeReady();
  return {
    get facts() {
      return facts;
    },
    get pid() {
      return pid;
    },
    kill(signal: NodeJS.Signals) {
      if (signal !== 'SIGSTOP' && signal !== 'SIGCONT') ending = true;
      signalled = signalled.then(() => container.kill({ signal })).catch(() => {});
    },
    stop,
    async start() {
      await signalled;
      if (ending) await container.wait();
      ending = false;
      if (await isRunning()) return;
      await container.start();
      await becomeReady();
    },
    async remove() {
      await container.remove({ force: true, v: true });
    },
  };
}

async function untilAnswered<Facts>(probe: () => Promise<Facts>): Promise<Facts> {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  for (;;) {
    try {
      return await probe();
    } catch (cause) {
      if (Date.now() > deadline) throw cause;
      await sleep(PROBE_PAUSE_MS);
    }
  }
}
