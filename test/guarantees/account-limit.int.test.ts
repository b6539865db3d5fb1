import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startNats } from '../../src/embedded/index.ts';
import { type NatsVersion, natsServerOf } from '../support/nats-server-versions.ts';
import { openStage } from './stage.ts';

const EVENTS = 1_000;

test('G1, G7: the storage of the account is used up on 2.15.1', () => useUp('2.15.1'));

// With one replica, 2.10 counts what it refused like this: it goes on to refuse the sequence that is next, until it
// stores something that expects none or is started again.
test('G1: the storage of the account is used up on 2.10.27, which has to be restarted', () =>
  useUp('2.10.27'));

// With one replica, 2.9 stores each message, deletes it and says no (10002): its slot is taken and empty, and the next
// one's expectation is met.
test('G1: the storage of the account is used up on 2.9.10', () => useUp('2.9.10'));

async function useUp(version: NatsVersion): Promise<void> {
  await using account = await startAccount(version, 100_000);
  await using stage = await openStage({ natsUrl: account.nats.url });
  await using relay = await stage.startRelay();
  await stage.write(EVENTS);
  expect(await relay.until('paused')).toContain('resource limits exceeded for account');
  await account.allow(100_000_000);
  if (version === '2.10.27') await account.nats.restart();
  await stage.untilDrained();
  await expect.poll(stage.faults, { timeout: 20_000, interval: 200 }).toEqual([]);
}

async function startAccount(version: NatsVersion, maxFile: number) {
  const dataDir = await mkdtemp(join(tmpdir(), 'postcommit-test-'));
  const write = (bytes: number) =>
    writeFile(
      join(dataDir, 'accounts.conf'),
      `accounts: { A: { jetstream: { max_file: ${bytes} }, users: [ { user: a, password: a } ] } }\nno_auth_user: a`,
    );
  await write(maxFile);
  const { path: binary } = await natsServerOf(version);
  const nats = await startNats({ binary, dataDir, config: 'include ./accounts.conf' });
  return {
    nats,
    async allow(bytes: number) {
      await write(bytes);
      nats.kill('SIGHUP');
    },
    async [Symbol.asyncDispose]() {
      await nats[Symbol.asyncDispose]();
      await rm(dataDir, { recursive: true });
    },
  };
}
