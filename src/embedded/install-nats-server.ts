import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, PostcommitError } from '../errors.ts';
import { findExecutable } from './find-executable.ts';
import {
  findNatsServer,
  NATS_SERVER_CACHE,
  type NatsServerBinary,
  natsServerVersion,
} from './find-nats-server.ts';
import { run } from './process.ts';

const RELEASE = '2.12.1';
const RELEASE_TIMEOUT_MS = 60_000;

/** A way to get a nats-server: leaves one below its folder and returns the path. */
export type Way = readonly [name: string, install: (folder: string) => Promise<string>];

const WAYS: readonly Way[] = [
  ['apt-get download', (folder) => debianPackage(folder, [])],
  ['apt-get download with fresh package lists', debianPackageWithOwnLists],
  ['apt-get install', debianInstall],
  ['official release', (folder) => officialRelease(folder, RELEASE)],
];

/**
 * Finds a nats-server or gets one: the distribution's package unpacked into our cache (which needs no root
 * and changes nothing on the system), installed by apt-get, or the official release.
 */
export async function ensureNatsServer(
  options: {
    readonly binary?: string | undefined;
    readonly cache?: string | undefined;
    /** Told before anything is fetched. */
    readonly onInstall?: ((way: string) => void) | undefined;
  } = {},
): Promise<NatsServerBinary> {
  const { binary, cache = NATS_SERVER_CACHE, onInstall } = options;
  const tried: string[] = [];
  const found = await findNatsServer({ binary, cache, tried });
  if (found !== undefined) return found;
  for (const [name, install] of binary === undefined ? WAYS : []) {
    onInstall?.(name);
    try {
      return await installInto(cache, install);
    } catch (cause) {
      tried.push(`${name}: ${messageOf(cause)}`);
    }
  }
  throw new PostcommitError(
    'service-failed',
    `No usable nats-server found or installed. Tried:\n${tried.map((line) => `  ${line}`).join('\n')}`,
    'Install nats-server (2.9 or newer) so that it is on PATH, set NATS_SERVER_BIN to it, ' +
      'or set NATS_URL to a server that already runs with JetStream.',
  );
}

/** Puts what `install` brings into the cache, in a folder called `name` (default: its version). Safe beside others. */
export async function installInto(
  cache: string,
  install: Way[1],
  { name }: { readonly name?: string } = {},
): Promise<NatsServerBinary> {
  await mkdir(cache, { recursive: true });
  const staging = await mkdtemp(join(cache, 'installing-'));
  try {
    const unpacked = await install(staging);
    const version = await natsServerVersion(unpacked);
    const folder = join(cache, name ?? version);
    const ready = join(staging, 'ready');
    await mkdir(ready);
    await cp(unpacked, join(ready, 'nats-server'));
    // Somebody else may have been quicker; then theirs serves as well.
    await rename(ready, folder).catch(() => {});
    return { path: join(folder, 'nats-server'), version };
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** Downloads the distribution's package and unpacks it; the options say which lists apt-get looks into. */
async function debianPackage(folder: string, aptOptions: readonly string[]): Promise<string> {
  await run('apt-get', [...aptOptions, '--quiet', 'download', 'nats-server'], { cwd: folder });
  const archive = (await readdir(folder)).find((name) => name.endsWith('.deb'));
  if (archive === undefined) throw new Error('apt-get left no package behind');
  await run('dpkg', ['-x', join(folder, archive), join(folder, 'package')]);
  return join(folder, 'package', 'usr', 'sbin', 'nats-server');
}

/** Container images come without package lists. Ours lie in the folder, so this works without root, too. */
async function debianPackageWithOwnLists(folder: string): Promise<string> {
  const lists = join(folder, 'lists');
  await mkdir(join(lists, 'partial'), { recursive: true });
  const own = [`Dir::State::lists=${lists}`, `Dir::Cache=${join(folder, 'apt')}`];
  const aptOptions = own.flatMap((option) => ['-o', option]);
  await run('apt-get', [...aptOptions, '--quiet', 'update']);
  return debianPackage(folder, aptOptions);
}

async function debianInstall(): Promise<string> {
  if (process.getuid?.() !== 0) throw new Error('needs root');
  await run('apt-get', ['--quiet', 'update']);
  await run('apt-get', ['--quiet', '--yes', '--no-install-recommends', 'install', 'nats-server']);
  const path = await findExecutable('nats-server');
  if (path === undefined) throw new Error('apt-get installed no nats-server');
  return path;
}

export async function officialRelease(folder: string, version: string): Promise<string> {
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const name = `nats-server-v${version}-${process.platform}-${architecture}`;
  const base = `https://github.com/nats-io/nats-server/releases/download/v${version}`;
  const [archive, sums] = await Promise.all([
    download(`${base}/${name}.tar.gz`),
    download(`${base}/SHA256SUMS`),
  ]);
  const sum = createHash('sha256').update(archive).digest('hex');
  if (!sums.toString('utf8').includes(`${sum}  ${name}.tar.gz`)) throw new Error('checksum differs');
  await writeFile(join(folder, 'release.tar.gz'), archive);
  await run('tar', ['-xzf', 'release.tar.gz'], { cwd: folder });
  return join(folder, name, 'nats-server');
}

async function download(url: string): Promise<Buffer> {
  const response = await fetch(url, { signal: AbortSignal.timeout(RELEASE_TIMEOUT_MS) });
  if (!response.ok) throw new Error(`${url}: HTTP ${response.status}`);
  return Buffer.from(await response.arrayBuffer());
}
