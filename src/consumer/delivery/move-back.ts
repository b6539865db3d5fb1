import { requestApi } from '../../jetstream/api.ts';
import type { BrokerLink } from '../../jetstream/index.ts';
import type { DurableDefinition, DurableState } from './durable.ts';

/**
 * Makes the durable anew, as it was, behind this sequence: its own account is of what the stream has lost, and it would
 * pass over what comes in its place. What was outstanding below is delivered again too. Returns why it could not, or nothing.
 *
 * Never on a stream that keeps messages only while a consumer wants them: with the durable it would drop them.
 */
export async function moveBack(
  link: BrokerLink,
  { stream, durable }: Pick<DurableDefinition, 'stream' | 'durable'>,
  { state, to }: { readonly state: DurableState; readonly to: number },
): Promise<string | undefined> {
  if (state.stream.retention === 'interest')
    return `the stream '${stream}' has lost its tail, and the durable '${durable}' has got further than it. It cannot be made anew: this stream keeps messages by interest, and would drop those that wait for it. It is waited for until the stream has grown; to go on at once, add another durable that holds the messages, then remove this one (nats consumer rm ${stream} ${durable})`;
  const gone = await requestApi(link, `CONSUMER.DELETE.${stream}.${durable}`);
  if (gone.kind !== 'answer')
    return `the stream '${stream}' has lost its tail, and the durable '${durable}', which has got further, cannot be made anew: ${gone.reason}. Allow it to be deleted ($JS.API.CONSUMER.DELETE.${stream}.${durable}), or remove it yourself (nats consumer rm ${stream} ${durable})`;
  const from = Math.min(state.progress.ackFloor, to) + 1;
  const config = { ...withoutStart(state.config), ...startAt(state, from) };
  const made = await requestApi(link, `CONSUMER.DURABLE.CREATE.${stream}.${durable}`, {
    body: { stream_name: stream, config },
  });
  return made.kind === 'answer'
    ? undefined
    : `the durable '${durable}' could not be made anew: ${made.reason}`;
}

/** A work queue lets its consumers begin nowhere else, and holds nothing that was acknowledged. */
function startAt({ stream: { retention } }: DurableState, from: number): object {
  if (retention === 'workqueue') return { deliver_policy: 'all' };
  return { deliver_policy: 'by_start_sequence', opt_start_seq: from };
}

function withoutStart(config: DurableState['config']): object {
  const { opt_start_seq: _sequence, opt_start_time: _time, ...rest } = config;
  return rest;
}
