import { stat } from 'node:fs/promises';
import { PostcommitError } from '../errors.ts';
import { type Identity, run } from './process.ts';

/**
 * The user a PostgreSQL server runs as, since it refuses to run as root: undefined (ourselves) unless we are
 * root; otherwise the owner of an existing data folder, or `postgres`, or `nobody`.
 */
export async function postgresIdentity(existingData?: string): Promise<Identity | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const owner = existingData === undefined ? undefined : await stat(existingData);
  if (owner !== undefined && owner.uid !== 0)
    return { name: `uid ${owner.uid}`, uid: owner.uid, gid: owner.gid };
  const identity = (await systemUser('postgres')) ?? (await systemUser('nobody'));
  if (identity !== undefined) return identity;
  throw new PostcommitError(
    'service-failed',
    'PostgreSQL refuses to run as root, and this system has neither a user postgres nor a user nobody.',
    'Create one (useradd --system postgres) or run this as another user than root.',
  );
}

async function systemUser(name: string): Promise<Identity | undefined> {
  try {
    const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]);
    return { name, uid: Number(uid), gid: Number(gid) };
  } catch {
    return undefined;
  }
}
