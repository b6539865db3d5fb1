/** The process behind `load/publish-from-memory.ts`. Prints what it used as JSON. */

import { jetstream } from '@nats-io/jetstream';
import { headers as createHeaders } from '@nats-io/nats-core';
import { connect } from '@nats-io/transport-node';
import { connectBroker, createPublisher, headerBlock } from '../../src/jetstream/index.ts';
import { createDeferred } from '../../src/lifecycle/deferred.ts';
import { silentLogger } from '../../src/telemetry/logger.ts';
import type { MemoryVariant } from '../load/publish-from-memory.ts';

const [variant, natsUrl = '', stream = '', countText = '0', sizeText = '256'] = process.argv.slice(2);
const count = Number(countText);
const payload = new Uint8Array(Number(sizeText)).fill(120);
const IN_FLIGHT = 1_000;
let startedAt = process.cpuUsage();

/** As long as the UUID that an event has. */
const idOf = (number: number) => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;

async function stock({ inFlight, traces }: { inFlight: number; traces: boolean }): Promise<void> {
  const connection = await connect({ servers: natsUrl, noAsyncTraces: !traces });
  const client = jetstream(connection);
  startedAt = process.cpuUsage();
  let next = 1;
  async function worker(): Promise<void> {
    while (next <= count) {
      const number = next++;
      const headers = createHeaders();
      headers.set('Bench-Number', String(number));
      await client.publish(`${stream}.bench`, payload, { msgID: idOf(number), headers });
    }
  }
  await Promise.all(Array.from({ length: inFlight }, worker));
  await connection.close();
}

async function bare(): Promise<void> {
  await using link = await connectBroker({ servers: [natsUrl] }, { logger: silentLogger() });
  const done = createDeferred<void>();
  let sent = 0;
  let stored = 0;
  const publisher = createPublisher({
    link,
    stream,
    maxInFlight: IN_FLIGHT,
    onStored() {
      stored++;
      if (stored === count) done.resolve();
    },
    onFailure(_token, outcome) {
      throw new Error(`a publish failed: ${JSON.stringify(outcome)}`);
    },
    onRoom: pump,
  });
  function pump(): void {
    while (sent < count && publisher.hasRoom()) {
      sent++;
      const eventId = idOf(sent);
      const event = {
        position: sent,
        eventId,
        subject: `${stream}.bench`,
        key: null,
        type: null,
        headers: { 'Bench-Number': String(sent) },
        payload,
        createdAtMs: 0,
      };
      const headers = headerBlock(event, {
        stream,
        source: 'bench',
        messageId: eventId,
        expectedLastSequence: sent - 1,
      });
      publisher.publish({ subject: event.subject, headers, payload }, sent);
    }
  }
  startedAt = process.cpuUsage();
  pump();
  await done.promise;
  publisher.close();
}

const VARIANTS: Readonly<Record<MemoryVariant, () => Promise<void>>> = {
  'stock-client': () => stock({ inFlight: IN_FLIGHT, traces: true }),
  'stock-client-tuned': () => stock({ inFlight: IN_FLIGHT, traces: false }),
  'stock-client-one-by-one': () => stock({ inFlight: 1, traces: true }),
  publisher: bare,
};

await VARIANTS[variant as MemoryVariant]();
const { user, system } = process.cpuUsage(startedAt);
const residentMiB = process.memoryUsage.rss() / 2 ** 20;
process.stdout.write(`${JSON.stringify({ cpuMicros: user + system, residentMiB })}\n`);
