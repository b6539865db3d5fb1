import type { DurableView, StreamState } from '../../jetstream/index.ts';
import { type ConsumerSeat, consumerSeats } from '../../lease/who-leads.ts';
import { counted, countText, durationText } from '../../quantities.ts';
import { onStreams } from '../check.ts';
import { ok, problem, type Remark, unseen, warning } from '../finding.ts';
import { shellWord } from '../quoting.ts';
import type { Surroundings } from '../surroundings.ts';

export const consumers = onStreams(
  {
    name: 'consumers',
    about:
      'the durables of the stream: settings that lose events, those that are stuck, and those that nobody serves',
  },
  async ({ state, link, around }) => {
    const lookup = await around.durables(link, state.name);
    if (lookup.kind === 'unavailable')
      return unseen(
        `its consumers are hidden from this user: ${lookup.reason}`,
        `Permit it to publish to '$JS.API.CONSUMER.LIST.${state.name}'.`,
      );
    const durables = lookup.durables.filter(({ durable }) => durable);
    const seats = await seatsIn(around);
    const remarks = durables.flatMap((durable) => [
      ...settingFaults(durable, state),
      ...progressFaults(durable, state),
      ...seatFaults(durable, state, seats),
    ]);
    return remarks.length > 0
      ? remarks
      : ok(
          durables.length === 0
            ? 'it has no durables'
            : `${counted(durables.length, 'durable')}: ${durables.map(({ name, pending }) => `${name} (${countText(pending)} to go)`).join(', ')}`,
        );
  },
);

/** Consumers may have their leases in another database, or none. */
async function seatsIn(around: Surroundings): Promise<readonly ConsumerSeat[]> {
  const postgres = await around.postgres();
  return postgres.kind === 'absent' ? [] : consumerSeats(postgres.connection).catch(() => []);
}

function settingFaults(
  { name, ackPolicy, maxDeliver }: DurableView,
  { name: stream }: StreamState,
): Remark[] {
  const remarks: Remark[] = [];
  if (maxDeliver > 0)
    remarks.push(
      warning({
        found: `durable '${name}' gives a message up after ${maxDeliver} deliveries (max_deliver)`,
        cause:
          'What is not acknowledged by then is passed over, also when only a handler was slow or a database down. consume() refuses such a durable.',
        fix: `nats consumer edit ${shellWord(stream)} ${shellWord(name)} --max-deliver=-1; consume() counts attempts itself and makes dead letters.`,
      }),
    );
  if (ackPolicy !== 'explicit')
    remarks.push(
      warning({
        found: `durable '${name}' has the ack policy ${ackPolicy}`,
        cause:
          ackPolicy === 'none'
            ? 'What was delivered counts as done: a crash of its consumer loses events.'
            : 'An ack of one message stands for all before it, also for those that failed.',
        fix: `The ack policy is fixed when a consumer is made: nats consumer rm ${shellWord(stream)} ${shellWord(name)}, and let consume() make it anew. It begins again at the start of the stream; the inbox knows what had its effect.`,
      }),
    );
  return remarks;
}

function progressFaults(durable: DurableView, { name: stream, lastSequence }: StreamState): Remark[] {
  const { name, ackPending, maxAckPending, delivered, pending, paused } = durable;
  const remarks: Remark[] = [];
  if (delivered > lastSequence)
    remarks.push(
      problem({
        found: `durable '${name}' has delivered up to sequence ${delivered}, and the stream ends at ${lastSequence}`,
        cause: 'The stream has lost its tail. What is stored in its place is passed over by this durable.',
        fix: `Restart its consumer: consume() moves the durable back. Any other: nats consumer rm ${shellWord(stream)} ${shellWord(name)}, and make it anew with --deliver ${lastSequence + 1}`,
      }),
    );
  if (maxAckPending > 0 && ackPending >= maxAckPending && pending > 0)
    remarks.push(
      warning({
        found: `durable '${name}' has ${countText(ackPending)} messages under way, as many as it may (max_ack_pending)`,
        cause:
          'Nothing new is delivered before some of them are acknowledged. If it stays so, handlers hang, or fail all the time.',
        fix: `Look at consumer-handler-failed and consumer-handler-slow in the log of its consumer, and at: postcommit dead-letters list --consumer ${shellWord(name)}`,
      }),
    );
  if (paused)
    remarks.push(
      warning({
        found: `durable '${name}' is paused`,
        cause: 'An operator has paused it: nothing is delivered.',
        fix: `nats consumer resume ${shellWord(stream)} ${shellWord(name)}`,
      }),
    );
  return remarks;
}

/** Longer than any takeover. */
const EMPTY_FOR_MS = 60_000;

function seatFaults(
  { name, pending }: DurableView,
  { name: stream }: StreamState,
  seats: readonly ConsumerSeat[],
): Remark[] {
  const seat = seats.find(({ consumer }) => consumer === `${stream}/${name}`);
  if (pending === 0 || (seat?.expiredForMs ?? 0) <= EMPTY_FOR_MS) return [];
  return [
    problem({
      found: `no instance of the consumer '${name}' has worked for ${durationText(Number(seat?.expiredForMs))}, and ${countText(pending)} messages wait`,
      cause: `The last one was ${seat?.holder ?? 'stopped in order'}, and no other took over.`,
      fix: 'Start it.',
    }),
  ];
}
