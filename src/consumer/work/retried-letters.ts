import { lettersToRetry, type RetriedLetter } from '../../dead-letters/consumer-letters.ts';
import type { ConsumedEvent } from '../../jetstream/index.ts';
import type { ConsumerLease } from '../../lease/consumer-lease.ts';
import { sleep } from '../../lifecycle/abort.ts';
import { reasonOf } from '../../telemetry/reason.ts';
import { inTransaction, type Transact } from '../database.ts';
import type { ConsumerSettings } from '../options.ts';
import type { TroubleLog } from '../trouble.ts';
import { type Job, lineOf } from './job.ts';
import type { Schedule } from './schedule.ts';

export interface RetriedLettersOptions<Tx> {
  readonly settings: ConsumerSettings;
  readonly transact: Transact<Tx>;
  readonly schedule: Schedule;
  readonly trouble: TroubleLog;
  readonly lease: ConsumerLease | undefined;
  readonly signal: AbortSignal;
}

const LOOK_EVERY_MS = 1_000;

/** Dead letters that an operator wants tried again get in line like messages; nothing is published for it. */
export async function offerRetriedLetters<Tx>(options: RetriedLettersOptions<Tx>): Promise<void> {
  const { settings, schedule, lease, signal, trouble } = options;
  let inHand: Job[] = [];
  while (!signal.aborted) {
    inHand = inHand.filter(({ over }) => !over);
    const letters = await look(inHand, options).catch((error: unknown) => {
      trouble.warn('consumer-database-unavailable', reasonOf(error), 'Dead letters cannot be looked for now');
      return [];
    });
    if (signal.aborted) return;
    for (const letter of letters) {
      const event = toEvent(letter);
      const job: Job = {
        event,
        line: lineOf(event, settings.order),
        lease,
        letter: letter.id,
        delivery: undefined,
        tried: false,
        alone: true,
        dueMs: 0,
        over: false,
      };
      inHand.push(job);
      schedule.offer(job);
    }
    await sleep(LOOK_EVERY_MS, signal);
  }
}

function look<Tx>(
  inHand: readonly Job[],
  { settings, transact }: RetriedLettersOptions<Tx>,
): Promise<RetriedLetter[]> {
  const besides = inHand.flatMap(({ letter }) => (letter === undefined ? [] : [letter]));
  const { durable: consumer, stream, prefetch } = settings;
  const atMost = Math.max(0, prefetch - inHand.length);
  return inTransaction(transact, (transaction) =>
    lettersToRetry(transaction, { consumer, stream, besides, atMost }),
  );
}

function toEvent(letter: RetriedLetter): ConsumedEvent {
  const { eventId, subject, key, type, headers, payload, stream, sequence, position, firstFailedAt } = letter;
  return {
    id: eventId,
    subject,
    key,
    type,
    headers,
    payload,
    json: () => JSON.parse(Buffer.from(payload).toString()),
    stream,
    sequence,
    position,
    time: firstFailedAt,
    redelivered: true,
    deliveryCount: 2,
  };
}
