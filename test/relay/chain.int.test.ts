import { jetstreamManager } from '@nats-io/jetstream';
import { expect, test } from 'vitest';
import { createChain } from '../../src/relay/chain/chain.ts';
import { repeated } from '../../src/relay/lane/cargo.ts';
import { createLaneMeter } from '../../src/relay/lane/lane-meter.ts';
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
    cloudEvents: undefined,
    markerSubject: () => 'unused',
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
    Array.from({ length: 3_000 }, (_, i) => repeated(storedEvent(i + 1, { subject: stream.subject }))),
  );
  chain.flow({ idle: false });
  await halted;
  expect(chain.gate.state).toMatchObject({ kind: 'paused', pause: { outcome: 'saturated' } });
  await stream.link.connection.flush();
  // A window, and as many again as were stored before.
  expect(sent).toBeLessThanOrEqual(1_024 + 10);
  chain.close();
});

test('after a pause one message probes the stream, and the others follow only when it is stored', async () => {
  await using stream = await openScratchStream({ definition: { maxMessages: 1 } });
  let sent = 0;
  stream.link.connection.subscribe(stream.subject, { callback: () => void sent++ });
  const { chain, halted } = chainOf(stream);
  const events = Array.from({ length: 300 }, (_, i) =>
    repeated(storedEvent(i + 1, { subject: stream.subject })),
  );
  chain.restart(0, null);
  chain.append(events);
  chain.flow({ idle: false });
  await halted;
  await stream.link.connection.flush();
  const before = sent;
  const manager = await jetstreamManager(stream.link.connection);
  chain.restart(1, 1);
  chain.append(events.slice(1));
  chain.flow({ idle: false });
  await expect.poll(() => chain.gate.state.kind).toBe('paused');
  await stream.link.connection.flush();
  expect(sent - before).toBe(1);
  await manager.streams.update(stream.name, { max_msgs: -1 });
  chain.restart(1, 1);
  chain.append(events.slice(1));
  chain.flow({ idle: false });
  await expect.poll(() => chain.pending, { timeout: 5_000 }).toBe(0);
  chain.close();
});
