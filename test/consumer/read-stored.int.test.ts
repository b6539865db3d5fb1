import { expect, onTestFinished, test } from 'vitest';
import { readStored } from '../../src/consumer/delivery/read-stored.ts';
import { borrowLink } from '../../src/jetstream/index.ts';
import { silentLogger } from '../../src/telemetry/logger.ts';
import { createScene } from './scene.ts';

test.each([
  { length: 'a short', messages: 900, every: 100 },
  { length: 'a long', messages: 21_000, every: 3_000 },
])(
  'of $length stretch the messages on these subjects are read, in order, with holes',
  async ({ messages, every }) => {
    const here = await createScene();
    onTestFinished(() => here[Symbol.asyncDispose]());
    const { link, release } = await borrowLink(here.nats, silentLogger());
    onTestFinished(release);
    const subjectOf = (n: number) => (n % every === 0 ? (n % (2 * every) === 0 ? 'even' : 'odd') : 'noise');
    for (let n = 1; n <= messages; n++) {
      here.connection.publish(`${here.stream}.${subjectOf(n)}`, String(n));
      if (n % 1_000 === 0) await here.connection.flush();
    }
    await expect
      .poll(async () => (await here.jsm.streams.info(here.stream)).state.last_seq, { timeout: 20_000 })
      .toBe(messages);
    await here.jsm.streams.deleteMessage(here.stream, 2 * every);
    const read = async (subjects: string[], from: number, to: number) => {
      const sequences: number[] = [];
      const signal = new AbortController().signal;
      for await (const page of readStored(link, { stream: here.stream, subjects, from, to, signal }))
        sequences.push(...page.map(({ sequence }) => sequence));
      return sequences;
    };
    const wanted = Array.from({ length: messages / every }, (_, i) => (i + 1) * every).filter(
      (n) => n !== 2 * every,
    );
    const both = [`${here.stream}.even`, `${here.stream}.odd`];
    expect(await read(both, 1, messages)).toEqual(wanted);
    // Patterns that overlap bring nothing twice.
    expect(await read([`${here.stream}.even`, ...both], 1, messages)).toEqual(wanted);
    expect(await read([`${here.stream}.odd`], 1, messages)).toEqual(
      wanted.filter((n) => (n / every) % 2 === 1),
    );
    expect(await read([], every - 1, every + 1)).toEqual([every - 1, every, every + 1]);
    expect(await read(both, every + 1, every)).toEqual([]);
  },
);
