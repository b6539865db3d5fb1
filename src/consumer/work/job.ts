import type { ConsumedEvent } from '../../jetstream/index.ts';
import type { ConsumerLease } from '../../lease/consumer-lease.ts';
import type { Delivery } from '../delivery/delivery.ts';
import type { ConsumerSettings } from '../options.ts';

/** One event on its way through a handler. */
export interface Job {
  /** As the handler sees it: after an attempt that failed here it says so. */
  event: ConsumedEvent;
  /** Jobs of one line are done one after the other, in the order in which they were offered. */
  readonly line: string;
  /** Under which it may have effects; undefined where instances share the work. */
  readonly lease: ConsumerLease | undefined;
  /** Of a dead letter that is tried again: it is over with the effect, and there is no message to acknowledge. */
  readonly letter: number | undefined;
  /** How the server is told; replaced when it delivers the message once more. */
  delivery: Delivery | undefined;
  /** It may have failed before, here or elsewhere: there may be a count of failures to forget. */
  tried: boolean;
  /** It has failed, or may have: in one transaction with others it would spoil theirs. */
  alone: boolean;
  /** Not before then, by the consumer's clock. */
  dueMs: number;
  over: boolean;
}

/** A message without a key is in line with those of its subject. */
export function lineOf(
  { key, subject, sequence, time }: ConsumedEvent,
  order: ConsumerSettings['order'],
): string {
  switch (order) {
    case 'none':
      // Another incarnation of the stream may have a message at the same place.
      return `${sequence} ${time.getTime()}`;
    case 'key':
      return key === null ? `subject ${subject}` : `key ${key}`;
    case 'stream':
      return 'stream';
  }
}
