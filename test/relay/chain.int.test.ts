import { expect, test } from 'vitest';
import { createChain } from '../../src/relay/chain.ts';
import { createLaneMeter } from '../../src/relay/lane-meter.ts';
import { silentLogger } from '../../src/telemetry/logger.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { openScratchStream, type ScratchStream, storedEvent } from '../jetstream/fixture.ts';

function chainOf({ link, name }: ScratchStream) {
  const meter = createLaneMeter({ stream: name, metrics: createMetrics(), logger: silentLogger() });
  let halt = () => {};
  const halted = new Promise<void>((resolve) => {
    halt = resolve;
  });
  const chain = createChain({
    link,
    stream: name,
    source: 'test',
    meter,
    wake: () => halt(),
    onSettled: () => undefined,
  });
  return { chain, halted };
}

test('L4: from the first bad answer on nothing is sent, though it makes room', async () => {
  await using stream = await openScratchStream({ definition: { maxMessages: 10 } });
  let sent = 0;
  stream.link.connection.subscribe(stream.subject, { callback: () => void sent++ });
  const { chain, halted } = chainOf(stream);
  chain.restart(0, null);
  chain.append(
    Array.from({ length: 3_000 }, (_, i) => storedEvent(i + 1, { subject: stream.subject })),
    { first: true },
  );
  chain.flow();
  await halted;
  expect(chain.state).toMatchObject({ kind: 'paused', pause: { outcome: 'saturated' } });
  await stream.link.connection.flush();
  // A window, and as many again as were stored before.
  expect(sent).toBeLessThanOrEqual(1_024 + 10);
  chain.close();
});
