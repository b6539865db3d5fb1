import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { EmbeddedNats } from '../../src/embedded/index.ts';
import { type NatsVersion, natsServerOf } from './nats-server-versions.ts';
import { startNats } from './services.ts';

/** A server whose users, `admin` and `app`, can be exchanged while it runs. */
export interface ReloadableNats extends AsyncDisposable {
  readonly url: string;
  /** Resolves when the server has taken them over. */
  reload(users: string): Promise<void>;
}

const USER = {
  admin: '{ user: admin, password: p }',
  app: '{ user: app, password: p }',
};

export const USERS = {
  all: `[ ${USER.admin}, ${USER.app} ]`,
  none: `[ ${USER.admin} ]`,
  mute: (stream: string) =>
    `[ ${USER.admin}, { user: app, password: p, permissions: { publish: { deny: "${stream}.>" } } } ]`,
};

export async function startReloadableNats(version: NatsVersion): Promise<ReloadableNats> {
  const dataDir = await mkdtemp(join(tmpdir(), 'postcommit-test-'));
  const file = join(dataDir, 'users.conf');
  const write = (users: string) => writeFile(file, `authorization { users: ${users} }`);
  await write(USERS.all);
  const { path: binary } = await natsServerOf(version);
  const nats = await startNats({ binary, dataDir, config: 'include ./users.conf' });
  return {
    url: nats.url,
    async reload(users) {
      await write(users);
      const before = await loadedAt(nats);
      nats.kill('SIGHUP');
      await expect.poll(() => loadedAt(nats), { timeout: 10_000, interval: 10 }).not.toBe(before);
    },
    async [Symbol.asyncDispose]() {
      await nats[Symbol.asyncDispose]();
      await rm(dataDir, { recursive: true });
    },
  };
}

/** Every user's password is `p`. */
export function urlAs({ url }: { url: string }, user: string): string {
  return url.replace('nats://', `nats://${user}:p@`);
}

async function loadedAt({ monitorUrl }: EmbeddedNats): Promise<string> {
  return ((await (await fetch(`${monitorUrl}/varz`)).json()) as { config_load_time: string })
    .config_load_time;
}
