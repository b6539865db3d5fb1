import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { PostcommitError } from '../errors.ts';
import { freePort } from './free-port.ts';
import type { Guardian } from './guardian.ts';
import {
  isPortTaken,
  type Launch,
  launchServer,
  type ServerProcess,
  stopServer,
  untilReady,
} from './server-process.ts';

const PORT_ATTEMPTS = 5;

/** Where a service keeps its data; a temporary folder is removed when the service is disposed of. */
export interface DataFolder {
  readonly path: string;
  readonly temporary: boolean;
}

export async function prepareDataFolder(kind: string, given: string | undefined): Promise<DataFolder> {
  if (given === undefined)
    return { path: await mkdtemp(join(tmpdir(), `postcommit-${kind}-`)), temporary: true };
  await mkdir(given, { recursive: true, mode: 0o700 });
  return { path: resolve(given), temporary: false };
}

export async function removeIfTemporary(folder: DataFolder): Promise<void> {
  if (folder.temporary) await rm(folder.path, { recursive: true, force: true, maxRetries: 5 });
}

/** Embedded services rely on POSIX signals and on `/bin/sh`. */
export function refuseOnWindows(): void {
  if (process.platform !== 'win32') return;
  throw new PostcommitError(
    'service-failed',
    'PostgreSQL and NATS cannot be started from here on Windows.',
    'Use WSL, or start them yourself (docker compose up) and set DATABASE_URL and NATS_URL.',
  );
}

/** One server that can be started, stopped and crashed again and again on the same data and port. */
export interface Service<Facts> {
  readonly facts: Facts;
  readonly pid: number;
  kill(signal: NodeJS.Signals): void;
  start(): Promise<void>;
  stop(signal: NodeJS.Signals): Promise<void>;
  dispose(signal: NodeJS.Signals): Promise<void>;
}

export interface ServiceOptions<Facts> {
  readonly folder: DataFolder;
  readonly guardian: Guardian;
  readonly launch: Launch;
  /** Answers once the server serves clients. */
  readonly probe: () => Promise<Facts>;
}

export async function createService<Facts>(options: ServiceOptions<Facts>): Promise<Service<Facts>> {
  const { folder, guardian, launch, probe } = options;
  let facts: Facts;
  let server: ServerProcess;
  let ending = false;

  async function boot() {
    server = await launchServer(launch);
    ending = false;
    facts = await untilReady(server, launch, probe);
  }
  async function stop(signal: NodeJS.Signals) {
    ending = true;
    if (!server.hasExited()) await stopServer(server, signal);
  }

  await boot();
  return {
    get facts() {
      return facts;
    },
    get pid() {
      return server.pid;
    },
    kill(signal) {
      if (signal !== 'SIGSTOP' && signal !== 'SIGCONT') ending = true;
      server.signal(signal);
    },
    async start() {
      if (!ending && !server.hasExited()) return;
      await server.exited;
      await boot();
    },
    stop,
    async dispose(signal) {
      await stop(signal);
      await guardian.dismiss();
      await removeIfTemporary(folder);
    },
  };
}

/** Calls `attempt` with free ports until nobody else was quicker; with a given port there is one attempt. */
export async function onFreePort<T>(
  given: number | undefined,
  attempt: (port: number) => Promise<T>,
): Promise<T> {
  for (let failures = 0; ; failures++) {
    try {
      return await attempt(given ?? (await freePort()));
    } catch (cause) {
      if (given !== undefined || failures + 1 >= PORT_ATTEMPTS || !isPortTaken(cause)) throw cause;
    }
  }
}
