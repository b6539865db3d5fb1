import { join } from 'node:path';
import { messageOf } from '../errors.ts';
import { findExecutable, isExecutable, versionFolders } from './find-executable.ts';
import { run } from './process.ts';

export interface NatsServerBinary {
  readonly path: string;
  readonly version: string;
}

/** Where `installNatsServer` unpacks servers, one folder per version, inside this package. */
export const NATS_SERVER_CACHE = join(import.meta.dirname, '..', '..', '.cache', 'nats-server');

/** The path a person set in NATS_SERVER_BIN, if any. Reads the environment, as `findExecutable` does. */
function natsServerFromEnvironment(): string | undefined {
  return process.env.NATS_SERVER_BIN || undefined;
}

/**
 * A nats-server of this machine: the given one or NATS_SERVER_BIN (then nothing else is considered), PATH,
 * our cache. Passes over one that does not run; `tried` collects why.
 */
export async function findNatsServer(
  options: {
    readonly binary?: string | undefined;
    readonly cache?: string | undefined;
    readonly tried?: string[];
  } = {},
): Promise<NatsServerBinary | undefined> {
  const { cache = NATS_SERVER_CACHE, tried = [] } = options;
  const chosen = options.binary ?? natsServerFromEnvironment();
  const candidates = chosen === undefined ? await candidatePaths(cache, tried) : [chosen];
  for (const path of candidates) {
    try {
      return { path, version: await natsServerVersion(path) };
    } catch (cause) {
      tried.push(messageOf(cause));
    }
  }
  return undefined;
}

async function candidatePaths(cache: string, tried: string[]): Promise<string[]> {
  const onPath = await findExecutable('nats-server');
  if (onPath === undefined) tried.push('PATH: no nats-server');
  const cached: string[] = [];
  for (const folder of await versionFolders(cache)) {
    const path = join(folder, 'nats-server');
    if (await isExecutable(path)) cached.push(path);
  }
  if (cached.length === 0) tried.push(`${cache}: empty`);
  return onPath === undefined ? cached : [onPath, ...cached];
}

export async function natsServerVersion(path: string): Promise<string> {
  const printed = await run(path, ['--version']);
  return /\d[\w.-]*/.exec(printed)?.[0] ?? printed.trim();
}
