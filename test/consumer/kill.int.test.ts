import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { consume } from '../../src/consumer/index.ts';
import { createScene, effect, type Scene } from './scene.ts';

const CHILD = fileURLToPath(new URL('kill-child.ts', import.meta.url));

function startChild({ nats, stream, durable, database }: Scene): ChildProcess {
  const child = fork(CHILD, [nats, stream, durable, database.url], { execArgv: [], serialization: 'json' });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

test('SIGKILL between the commit and the ack: delivered again, one effect', async () => {
  const here = await createScene();
  onTestFinished(() => here[Symbol.asyncDispose]());
  for (let i = 0; i < 3; i++) {
    await here.publish(i);
    const child = startChild(here);
    await once(child, 'message');
    // Committed, and not acknowledged.
    expect(await here.effects()).toHaveLength(i + 1);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect((await here.jsm.consumers.info(here.stream, here.durable)).num_ack_pending).toBe(1);
    const successor = await consume({ ...here.options, ackWaitMs: 500 }, effect);
    await here.untilSettled();
    await successor.stop();
  }
  expect(await here.effects()).toEqual([1, 2, 3].map((sequence) => `${here.stream}:${sequence}`));
  expect(await here.counted('effect')).toBe(0);
});
