import { expect, test } from 'vitest';
import { connectBroker, subjectMatches } from '../../src/jetstream/index.ts';
import { silentLogger } from '../../src/telemetry/logger.ts';
import { natsUrl, scratchName } from '../support/services.ts';

test('matching agrees with the server', async () => {
  await using link = await connectBroker({ servers: [natsUrl()] }, { logger: silentLogger() });
  const prefix = scratchName('subjects');
  const tokens = ['a', 'b', 'a*', 'ä'];
  const subjects = tokens.flatMap((one) => [
    one,
    ...tokens.flatMap((two) => [`${one}.${two}`, `${one}.${two}.c`]),
  ]);
  const patterns = ['>', '*', 'a', 'a.>', '*.b', '*.*', 'a.*.c', '*.>', 'a*', 'a*.b', 'ä.*', '*.*.>'];
  const received = new Map(patterns.map((pattern) => [pattern, new Set<string>()]));
  for (const pattern of patterns) {
    link.connection.subscribe(`${prefix}.${pattern}`, {
      callback: (_error, message) =>
        void received.get(pattern)?.add(message.subject.slice(prefix.length + 1)),
    });
  }
  await link.connection.flush();
  for (const subject of subjects) link.connection.publish(`${prefix}.${subject}`);
  await link.connection.flush();
  for (const [pattern, seen] of received) {
    const expected = subjects.filter((subject) => subjectMatches(pattern, subject));
    expect([...seen].sort(), pattern).toEqual(expected.sort());
  }
});
