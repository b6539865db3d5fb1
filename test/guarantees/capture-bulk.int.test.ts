import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { startCli } from '../support/cli.ts';
import { FAITHFUL, insertEvents, openOutbox } from '../support/outbox-harness.ts';
import { natsUrl } from '../support/services.ts';

const EVENTS = 200_000;
/** So many before it bring the heap and the buffers to their working size. */
const BEFORE = 20_000;
/** V8 lets garbage lie about: 135 to 146 MB were seen, and 57 with small semi-spaces. Holding all events takes far more. */
const MAY_GROW_BYTES = 180 * 1024 * 1024;

async function residentBytes(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

/** The highest memory use seen until it is stopped. */
async function watchMemory(pid: number | undefined) {
  const before = await residentBytes(pid);
  let peak = before;
  const timer = setInterval(() => {
    residentBytes(pid).then(
      (bytes) => {
        peak = Math.max(peak, bytes);
      },
      () => undefined,
    );
  }, 20);
  return () => {
    clearInterval(timer);
    return peak - before;
  };
}

test(`one transaction of ${EVENTS} events beside a quiet relay: nothing before its commit, then all of it in order, in bounded memory`, async () => {
  await using outbox = await openOutbox();
  await using relay = startCli(['relay', '--http', '127.0.0.1:0'], {
    DATABASE_URL: outbox.url,
    NATS_URL: natsUrl(),
    POSTCOMMIT_STREAM: outbox.stream,
    POSTCOMMIT_SUBJECTS: `${outbox.stream}.>`,
  });
  await relay.line('ready');
  const client = await outbox.connect();
  await insertEvents(client, outbox.subject, BEFORE, 'before');
  await outbox.untilStored(BEFORE);
  const grownBy = await watchMemory(relay.process.pid);
  await client.query('begin');
  await insertEvents(client, outbox.subject, EVENTS, 'bulk');
  await insertEvents(await outbox.connect(), outbox.subject, 1, 'other');
  await outbox.untilStored(BEFORE + 1);
  expect(await outbox.stored()).toBe(BEFORE + 1);
  await client.query('commit');
  await outbox.untilStored(BEFORE + 1 + EVENTS, { withinMs: 40_000 });
  const grown = grownBy();
  expect(await outbox.compare()).toEqual({ committed: BEFORE + 1 + EVENTS, ...FAITHFUL });
  const bulk = (await outbox.messages()).slice(BEFORE + 1).map(({ position }) => position);
  expect(bulk.every((position, i) => i === 0 || position > (bulk[i - 1] as number))).toBe(true);
  expect(grown).toBeLessThan(MAY_GROW_BYTES);
});
