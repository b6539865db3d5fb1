import { join } from 'node:path';
import { isExecutable } from '../../src/embedded/find-executable.ts';
import {
  findNatsServer,
  NATS_SERVER_CACHE,
  type NatsServerBinary,
  natsServerVersion,
} from '../../src/embedded/find-nats-server.ts';
import { installInto, officialRelease, type Way } from '../../src/embedded/install-nats-server.ts';
import { messageOf, PostcommitError } from '../../src/errors.ts';
import { unpackFromSuite } from './debian-suite.ts';

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

async function fromSuite(folder: string, suite: string): Promise<string> {
  const unpacked = await unpackFromSuite(folder, { suite, name: 'nats-server' });
  return join(unpacked, 'usr', 'sbin', 'nats-server');
}
