import { jetstreamManager } from '@nats-io/jetstream';
import type { StoredEvent } from '../../src/event.ts';
import {
  type BrokerLink,
  connectBroker,
  createPublisher,
  createStream,
  type Failure,
  headerBlock,
  lookUpStream,
  type Publisher,
  type PublisherOptions,
  readBack,
  type StreamDefinition,
  type StreamState,
} from '../../src/jetstream/index.ts';
import { silentLogger } from '../../src/telemetry/logger.ts';
import { natsUrl, scratchName } from '../support/services.ts';

export interface ScratchStream extends AsyncDisposable {
  readonly link: BrokerLink;
  readonly name: string;
  /** A subject the stream captures. */
  readonly subject: string;
  state(): Promise<StreamState>;
}

/** A stream of its own on the server of this run (or the given one); `raw` is the server's own configuration. */
export async function openScratchStream(
  options: { url?: string; definition?: Partial<StreamDefinition>; raw?: object } = {},
): Promise<ScratchStream> {
  const servers = (options.url ?? natsUrl()).split(',');
  const link = await connectBroker({ servers }, { logger: silentLogger() });
  const name = options.definition?.name ?? scratchName('js');
  const manager = await jetstreamManager(link.connection);
  const subjects = [`${name}.>`];
  if (options.raw === undefined) {
    const created = await createStream(link, { name, subjects, ...options.definition });
    if (created.kind !== 'found') throw new Error(JSON.stringify(created));
  } else {
    await manager.streams.add({ name, subjects, ...options.raw });
  }
  return {
    link,
    name,
    subject: `${name}.a`,
    async state() {
      const found = await lookUpStream(link, name);
      if (found.kind !== 'found') throw new Error(JSON.stringify(found));
      return found.state;
    },
    async [Symbol.asyncDispose]() {
      if (link.connected) await manager.streams.delete(name).catch(() => undefined);
      await link.close();
    },
  };
}

export function storedEvent(position: number, fields: Partial<StoredEvent> = {}): StoredEvent {
  return {
    position,
    eventId: `event-${position}`,
    subject: 'a',
    key: null,
    type: null,
    headers: null,
    payload: Buffer.from(`payload ${position}`),
    createdAtMs: 0,
    ...fields,
  };
}

export type Settled = readonly [token: number, result: number | Failure];

export interface RecordingPublisher extends Disposable {
  readonly publisher: Publisher;
  /** In the order in which they came: the sequence, or the failure. */
  readonly settled: readonly Settled[];
  kinds(): string[];
  /** Resolves once so many have settled. */
  until(count: number): Promise<readonly Settled[]>;
}

export function createRecordingPublisher(
  options: Omit<PublisherOptions, 'onStored' | 'onFailure'>,
): RecordingPublisher {
  const settled: Settled[] = [];
  const waiting = new Map<number, () => void>();
  const settle = (token: number, result: number | Failure) => {
    settled.push([token, result]);
    waiting.get(settled.length)?.();
  };
  const publisher = createPublisher({ ...options, onStored: settle, onFailure: settle });
  return {
    publisher,
    settled,
    kinds: () => settled.map(([, result]) => (typeof result === 'number' ? 'stored' : result.kind)),
    async until(count) {
      if (settled.length < count) await new Promise<void>((resolve) => waiting.set(count, resolve));
      return settled;
    },
    [Symbol.dispose]: () => publisher.close(),
  };
}

export interface PublishOptions {
  readonly expected?: number | null;
  readonly messageId?: string | null;
  readonly source?: string;
  readonly event?: Partial<StoredEvent>;
  readonly stream?: string;
}

/** Publishes an event of that position, which is its token too, as the relay would. */
export function publishEvent(
  publisher: Publisher,
  { name, subject }: Pick<ScratchStream, 'name' | 'subject'>,
  position: number,
  { expected = null, messageId = null, source = 'test', event = {}, stream = name }: PublishOptions = {},
): void {
  const stored = storedEvent(position, { subject, ...event });
  const headers = headerBlock(stored, { stream, source, messageId, expectedLastSequence: expected });
  publisher.publish({ subject: stored.subject, headers, payload: stored.payload }, position);
}

/**
 * What the outcomes of `publishEvent()` say that is not true of the stream, in words: `stored` must be there at that
 * sequence, once; `unavailable`, `saturated` and `refused` must not be there; the others claim nothing.
 */
export async function untrue(stream: ScratchStream, settled: readonly Settled[]): Promise<string[]> {
  const { lastSequence } = await stream.state();
  const messages = await readBack(stream.link, { stream: stream.name, from: 1, to: lastSequence });
  const places = new Map<number, number[]>();
  for (const message of messages) {
    if (message.kind === 'gone' || message.position === null) continue;
    places.set(message.position, [...(places.get(message.position) ?? []), message.sequence]);
  }
  return settled.flatMap(([token, result]) => {
    const found = (places.get(token) ?? []).join(' and ');
    if (typeof result === 'number')
      return found === String(result) ? [] : [`${token} is not at ${result}, but at [${found}]`];
    const claimsNothing = result.kind === 'ambiguous' || result.kind === 'duplicate';
    return claimsNothing || found === '' ? [] : [`${token} is ${result.kind}, and at [${found}]`];
  });
}
