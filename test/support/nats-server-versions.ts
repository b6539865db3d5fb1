import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isExecutable } from '../../src/embedded/find-executable.ts';
import {
  findNatsServer,
  NATS_SERVER_CACHE,
  type NatsServerBinary,
  natsServerVersion,
} from '../../src/embedded/find-nats-server.ts';
import {
  debianPackageWithOwnLists,
  installInto,
  officialRelease,
  type Way,
} from '../../src/embedded/install-nats-server.ts';
import { run } from '../../src/embedded/process.ts';
import { messageOf, PostcommitError } from '../../src/errors.ts';

/** The Debian suites that hold each version. The last one moves on: then the next version of it stands in. */
const SUITES = {
  '2.9.10': ['bookworm'],
  '2.10.27': ['trixie'],
  '2.15.1': ['sid', 'forky'],
} as const;

export type NatsVersion = keyof typeof SUITES;

export const NATS_VERSIONS = Object.keys(SUITES) as readonly NatsVersion[];

/** Apart from the cache of the ordinary server, which takes the newest that lies there. */
const CACHE = join(NATS_SERVER_CACHE, '..', 'nats-server-versions');

const DEBIAN_KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

const pending = new Map<NatsVersion, Promise<NatsServerBinary>>();

/**
 * A nats-server of that version: the machine's own if it is one, our cache, Debian's package of the suite that holds it,
 * the official release. Fetched once per checkout; several processes may ask at once.
 */
export function natsServerOf(version: NatsVersion): Promise<NatsServerBinary> {
  const known = pending.get(version) ?? obtain(version);
  pending.set(version, known);
  return known;
}

async function obtain(version: NatsVersion): Promise<NatsServerBinary> {
  const path = join(CACHE, version, 'nats-server');
  const tried: string[] = [];
  if (await isExecutable(path)) {
    try {
      return { path, version: await natsServerVersion(path) };
    } catch (cause) {
      tried.push(messageOf(cause));
    }
  }
  const own = await findNatsServer();
  if (own?.version === version) return own;
  for (const [name, install] of waysTo(version)) {
    try {
      return await installInto(CACHE, install, { name: version });
    } catch (cause) {
      tried.push(`${name}: ${messageOf(cause)}`);
    }
  }
  throw new PostcommitError(
    'service-failed',
    `No nats-server ${version} found or fetched, which tests across versions need. Tried:\n${tried.map((line) => `  ${line}`).join('\n')}`,
    `Put a nats-server ${version} at ${path}.`,
  );
}

function waysTo(version: NatsVersion): Way[] {
  return [
    ...SUITES[version].map((suite): Way => [`Debian ${suite}`, (folder) => fromSuite(folder, suite)]),
    ['official release', (folder) => officialRelease(folder, version)],
  ];
}

/** The package of another suite of the archive that this machine's apt uses, with sources and lists of our own. */
async function fromSuite(folder: string, suite: string): Promise<string> {
  const failures: string[] = [];
  for (const archive of await archives()) {
    try {
      return await fromArchive(folder, `${archive} ${suite} main`);
    } catch (cause) {
      failures.push(messageOf(cause));
    }
  }
  throw new Error(failures.join('; ') || 'apt knows no archive with a component main');
}

async function archives(): Promise<string[]> {
  const format = ['--no-release-info', '--format', '$(COMPONENT) $(REPO_URI)'];
  const printed = await run('apt-get', ['indextargets', ...format, 'Created-By: Packages']);
  const lines = printed.split('\n').filter((line) => line.startsWith('main '));
  return [...new Set(lines.map((line) => line.slice('main '.length)))];
}

async function fromArchive(folder: string, source: string): Promise<string> {
  const signedBy = existsSync(DEBIAN_KEYRING) ? `[signed-by=${DEBIAN_KEYRING}] ` : '';
  const list = join(folder, 'sources.list');
  await mkdir(join(folder, 'no-parts'), { recursive: true });
  await writeFile(list, `deb ${signedBy}${source}\n`);
  return debianPackageWithOwnLists(folder, [
    `Dir::Etc::sourcelist=${list}`,
    `Dir::Etc::sourceparts=${join(folder, 'no-parts')}`,
    'Acquire::Languages=none',
  ]);
}
