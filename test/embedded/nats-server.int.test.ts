import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { expect, test } from 'vitest';
import { startNats } from '../support/backend.ts';

async function publishOne(servers: string): Promise<void> {
  const connection = await connect({ servers });
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: 'KEPT', subjects: ['kept.>'] });
  await jetstream(connection).publish('kept.one', 'payload');
  await connection.close();
}

async function storedMessages(servers: string): Promise<number> {
  const connection = await connect({ servers });
  const manager = await jetstreamManager(connection);
  const { state } = await manager.streams.info('KEPT');
  await connection.close();
  return state.messages;
}

test('an acknowledged message survives a kill of the server', async () => {
  await using nats = await startNats();
  await publishOne(nats.url);
  const { pid } = nats;
  nats.kill('SIGKILL');
  await nats.start();
  expect(nats.pid).not.toBe(pid);
  expect(await storedMessages(nats.url)).toBe(1);
});

test('an orderly restart keeps ports and streams', async () => {
  await using nats = await startNats();
  await publishOne(nats.url);
  await nats.restart();
  expect(await storedMessages(nats.url)).toBe(1);
});

test('a frozen server can be stopped', async () => {
  await using nats = await startNats();
  nats.kill('SIGSTOP');
  await nats.stop();
  await nats.start();
  expect((await fetch(`${nats.monitorUrl}/varz`)).ok).toBe(true);
});

test('several servers run at once, each with its own streams', async () => {
  const [first, second] = await Promise.all([startNats(), startNats()]);
  await using stack = new AsyncDisposableStack();
  stack.use(first);
  stack.use(second);
  await publishOne(first.url);
  await expect(storedMessages(second.url)).rejects.toThrow('stream not found');
});

test('a given data folder is kept and used again', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'postcommit-test-'));
  try {
    const first = await startNats({ dataDir });
    await publishOne(first.url);
    await first[Symbol.asyncDispose]();
    await using second = await startNats({ dataDir });
    expect(await storedMessages(second.url)).toBe(1);
  } finally {
    await rm(dataDir, { recursive: true });
  }
});

test('takes more configuration, and reports what the server says about it', async () => {
  await using nats = await startNats({ config: 'max_payload: 4096' });
  const varz = (await (await fetch(`${nats.monitorUrl}/varz`)).json()) as { max_payload: number };
  expect(varz.max_payload).toBe(4096);
  await expect(startNats({ config: 'nonsense: {' })).rejects.toThrow('exited while starting');
});
