import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { EmbeddedNats, NatsOptions } from '../../src/embedded/index.ts';

/** A server whose streams can be put back to what they were: what a power cut or a restored backup does. */
export interface NatsWithStore extends EmbeddedNats {
  /** Restarts the server and keeps what it holds now. */
  keepStore(): Promise<void>;
  /** Restarts the server with what was kept: messages acknowledged since are lost. */
  restoreStore(): Promise<void>;
  /** The same, but durables keep what they know since: their files are others than the messages'. */
  restoreMessages(): Promise<void>;
}

/** Its data and the kept copy lie in a folder that goes when the server is disposed of. */
export async function startNatsWithStore(
  start: (options: NatsOptions) => Promise<EmbeddedNats>,
): Promise<NatsWithStore> {
  const folder = await mkdtemp(join(tmpdir(), 'postcommit-store-'));
  const live = join(folder, 'nats', 'jetstream');
  const kept = join(folder, 'kept');
  const nats = await start({ dataDir: join(folder, 'nats') });
  const copy = async (from: string, to: string) => {
    await rm(to, { recursive: true, force: true });
    await cp(from, to, { recursive: true });
  };
  const replace = async (from: string, to: string) => {
    await nats.stop();
    await copy(from, to);
    await nats.start();
  };
  // Spread would take a snapshot of the getters (its pid changes).
  return Object.assign(Object.create(nats) as EmbeddedNats, {
    keepStore: () => replace(live, kept),
    restoreStore: () => replace(kept, live),
    async restoreMessages() {
      await nats.stop();
      for (const file of await readdir(kept, { recursive: true }))
        if (basename(file) === 'msgs') await copy(join(kept, file), join(live, file));
      await nats.start();
    },
    async [Symbol.asyncDispose]() {
      await nats[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  });
}
