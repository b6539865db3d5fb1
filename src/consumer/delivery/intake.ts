import { messageOf } from '../../errors.ts';
import {
  type BrokerLink,
  type ConsumedEvent,
  isMarker,
  type SourceMessage,
  toConsumedEvent,
} from '../../jetstream/index.ts';
import type { ConsumerLease } from '../../lease/consumer-lease.ts';
import type { ConsumerSettings } from '../options.ts';
import { type Job, lineOf } from '../work/job.ts';
import type { Schedule } from '../work/schedule.ts';
import { createForeignDelivery, type Delivery } from './delivery.ts';
import type { DurableState } from './durable.ts';
import { readStored } from './read-stored.ts';

/**
 * From deliveries to jobs. Where an order is kept:
 *   I1  Jobs are offered in the order of the stream. JetStream delivers in it, but for what was delivered before: to
 *       another instance, or on a connection that broke. That stretch, from the ack floor to the last delivered, is read
 *       from the stream first.
 *   I2  A gap in the durable's own count shows a delivery that went elsewhere: nothing behind it is offered before the
 *       stretch was read again.
 */
export interface Intake {
  /** The durable was found: what is outstanding there is offered. Undefined, or why it could not be read. */
  begin(state: DurableState, signal: AbortSignal): Promise<string | undefined>;
  /** False: something was delivered elsewhere, and the durable has to be looked at again (I2). */
  take(delivery: Delivery): boolean;
  /** How far the durable's count is known. */
  readonly consumerSequence: number;
}

export interface IntakeOptions {
  readonly link: BrokerLink;
  readonly settings: ConsumerSettings;
  readonly schedule: Schedule;
  readonly lease: ConsumerLease | undefined;
  readonly onSettled: (delivery: Delivery) => void;
  /** Of these event ids, those that have had their effect. */
  readonly recorded: (eventIds: readonly string[]) => Promise<ReadonlySet<string>>;
  /** A message was read that the server takes for under way. */
  readonly onForeign: (delivery: Delivery) => void;
}

// biome-ignore lint/complexity/noExcessiveLinesPerFunction: one small state machine, whose steps are named functions.
export function createIntake(options: IntakeOptions): Intake {
  const { link, settings, schedule, lease } = options;
  const { stream, durable, subjects, order } = settings;
  /** What is not over, by sequence: a message may be delivered once more meanwhile. */
  const held = new Map<number, Job>();
  let sweepAt = 2 * settings.prefetch;
  /** Delivered while the stretch is read, or behind a gap: in the order in which they came. */
  const late: { readonly delivery: Delivery; readonly atMs: number }[] = [];
  let reading = lease !== undefined;
  /** When the durable was made that the deliveries are of. */
  let life: string | undefined;
  let highest = 0;
  let consumerSequence = 0;

  function offer(delivery: Delivery, event = toConsumedEvent(delivery.message)): void {
    const { message } = delivery;
    const { sequence } = message;
    highest = Math.max(highest, sequence);
    const before = held.get(sequence);
    if (before !== undefined && !before.over) {
      if (before.delivery !== undefined) options.onSettled(before.delivery);
      // Another message at its place: that of before is none of this durable's any more, and must not settle this one.
      before.delivery = isSame(before.event, event) ? delivery : undefined;
      if (before.delivery !== undefined) return;
    }
    if (isMarker(message)) {
      settings.meter.settled('skipped');
      delivery.ack();
      return;
    }
    const job: Job = {
      event,
      line: lineOf(event, order),
      lease,
      letter: undefined,
      delivery,
      tried: event.redelivered,
      // Where each instance is handed what failed elsewhere, nothing else tells it from what was merely lost.
      alone: lease === undefined && event.redelivered,
      dueMs: 0,
      over: false,
    };
    held.set(sequence, job);
    schedule.offer(job);
  }

  function forgetWhatIsOver(): void {
    for (const [sequence, job] of held) if (job.over) held.delete(sequence);
    sweepAt = 2 * Math.max(held.size, settings.prefetch);
  }

  /** I2. False: behind a gap. */
  function follows({ consumerSequence: count }: Delivery): boolean {
    if (lease === undefined || count === null) return true;
    if (count > consumerSequence + 1) return false;
    consumerSequence = Math.max(consumerSequence, count);
    return true;
  }

  /** What is done is acknowledged at once: of a long stretch, most was, behind one that is tried again and again. */
  async function offerRead(messages: readonly SourceMessage[], delivered: number): Promise<void> {
    if (messages.length === 0) return;
    const read = messages.map((message) => ({ message, event: toConsumedEvent(message) }));
    const done = await options.recorded(read.map(({ event }) => event.id));
    for (const { message, event } of read) {
      const before = held.get(message.sequence);
      if (before?.over === false && isSame(before.event, event)) continue;
      const { onSettled } = options;
      const { connection } = link;
      const delivery = createForeignDelivery(message, { durable, connection, delivered, onSettled });
      if (done.has(event.id)) {
        delivery.ack();
        continue;
      }
      options.onForeign(delivery);
      offer(delivery, event);
    }
  }

  /** What is outstanding at the server, and not known here. Below that, where the durable was made anew. */
  function stretchOf({ delivered, progress }: DurableState) {
    const from = Math.max(progress.ackFloor, Math.min(highest, delivered.streamSequence)) + 1;
    return { stream, subjects, from, to: delivered.streamSequence };
  }

  /** An ack by one that was made anew is taken by the sequence of the stream, where another message may lie now. */
  function dropFormerDeliveries({ created }: DurableState): void {
    const isAnother = life !== undefined && life !== created;
    life = created;
    for (const job of isAnother ? held.values() : []) {
      if (job.delivery !== undefined) options.onSettled(job.delivery);
      job.delivery = undefined;
    }
  }

  /** Counted higher than the durable has got by now, and sent before it said so: by one that is no more. */
  function dropFormerLate({ delivered, askedAtMs }: DurableState): void {
    for (const { delivery, atMs } of late.splice(0))
      if (atMs < askedAtMs && (delivery.consumerSequence ?? 0) > delivered.consumerSequence)
        options.onSettled(delivery);
      else late.push({ delivery, atMs });
  }

  /** What came while the stretch was read: most of it is part of that. */
  function offerLate(): boolean {
    for (const [i, { delivery }] of late.entries()) {
      if (follows(delivery)) offer(delivery);
      else {
        late.splice(0, i);
        return false;
      }
    }
    late.length = 0;
    return true;
  }

  return {
    get consumerSequence() {
      return consumerSequence;
    },
    async begin(state, signal) {
      forgetWhatIsOver();
      dropFormerDeliveries(state);
      if (lease === undefined) return undefined;
      reading = true;
      dropFormerLate(state);
      try {
        for await (const messages of readStored(link, { ...stretchOf(state), signal }))
          await offerRead(messages, state.delivered.consumerSequence);
      } catch (thrown) {
        return `what was delivered before cannot be read: ${messageOf(thrown)}`;
      }
      if (signal.aborted) return 'stopping';
      reading = false;
      highest = Math.max(state.progress.ackFloor, state.delivered.streamSequence);
      consumerSequence = state.delivered.consumerSequence;
      return offerLate() ? undefined : GONE_ELSEWHERE;
    },
    take(delivery) {
      if (held.size > sweepAt) forgetWhatIsOver();
      const inTurn = !reading && follows(delivery);
      if (inTurn) offer(delivery);
      else late.push({ delivery, atMs: performance.now() });
      return inTurn || reading;
    },
  };
}

function isSame(one: ConsumedEvent, other: ConsumedEvent): boolean {
  return one.id === other.id && one.time.getTime() === other.time.getTime();
}

export const GONE_ELSEWHERE = 'messages were delivered elsewhere: they are read from the stream first';
