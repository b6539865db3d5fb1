/**
 * A publisher of its own process: `stock` is the client's `js.publish` with 1,000 in flight, `bare` is postcommit's
 * publisher without a database. Both send the same messages with a message id. Prints its CPU time as JSON.
 */

import { jetstream } from '@nats-io/jetstream';
import { headers as createHeaders } from '@nats-io/nats-core';
import { connect } from '@nats-io/transport-node';
import { connectBroker, createPublisher, encodeHeaders } from '../src/jetstream/index.ts';
import { createDeferred } from '../src/lifecycle/deferred.ts';
import { silentLogger } from '../src/telemetry/logger.ts';

const [variant, natsUrl = '', stream = '', countText = '0', sizeText = '256'] = process.argv.slice(2);
const count = Number(countText);
const payload = new Uint8Array(Number(sizeText)).fill(120);
const IN_FLIGHT = 1_000;

async function stock(): Promise<void> {
  const connection = await connect({ servers: natsUrl, noAsyncTraces: true });
  const client = jetstream(connection);
  let next = 1;
  async function worker(): Promise<void> {
    while (next <= count) {
      const number = next++;
      const headers = createHeaders();
      headers.set('Bench-Number', String(number));
      await client.publish(`${stream}.bench`, payload, { msgID: `${stream}-${number}`, headers });
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
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
      const eventId = `${stream}-${sent}`;
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
      const headers = encodeHeaders(event, {
        stream,
        source: 'bench',
        messageId: eventId,
        expectedLastSequence: sent - 1,
      });
      publisher.publish({ subject: event.subject, headers, payload }, sent);
    }
  }
  pump();
  await done.promise;
  publisher.close();
}

await (variant === 'stock' ? stock() : bare());
const { user, system } = process.cpuUsage();
process.stdout.write(`${JSON.stringify({ cpuMicros: user + system, rss: process.memoryUsage.rss() })}\n`);
