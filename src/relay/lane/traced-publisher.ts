import type { StoredEvent } from '../../event.ts';
import {
  createPublisher,
  type OutgoingMessage,
  type Publisher,
  type PublisherOptions,
} from '../../jetstream/index.ts';
import { createSendSpans } from './send-spans.ts';

export interface EventMessage extends OutgoingMessage {
  /** Whose trace it belongs to; undefined for a marker. */
  readonly event?: StoredEvent;
}

/** A publisher whose sends are spans, where somebody records them. */
export interface TracedPublisher extends Publisher {
  publish(message: EventMessage, token: number): void;
  /** Finds out anew whether somebody does: once for the events of a plan, and not for each. */
  look(): void;
}

export function createTracedPublisher(options: PublisherOptions): TracedPublisher {
  const spans = createSendSpans(options);
  const publisher = createPublisher({
    ...options,
    onStored(token, sequence) {
      spans.stored(token, sequence);
      options.onStored(token, sequence);
    },
    onFailure(token, outcome) {
      spans.failed(token, outcome);
      options.onFailure(token, outcome);
    },
  });
  return {
    get inFlight() {
      return publisher.inFlight;
    },
    hasRoom: publisher.hasRoom,
    room: publisher.room,
    look: spans.look,
    publish(message, token) {
      if (message.event !== undefined) spans.begin(token, message.event);
      publisher.publish(message, token);
    },
    abandon() {
      publisher.abandon();
      spans.abandon();
    },
    close() {
      publisher.close();
      spans.abandon();
    },
  };
}
