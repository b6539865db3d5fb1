import { PostcommitError } from '../../errors.ts';
import type { BrokerLink } from '../../jetstream/index.ts';
import { sleep } from '../../lifecycle/abort.ts';
import { createBackoff } from '../../lifecycle/backoff.ts';
import type { TroubleLog } from '../trouble.ts';
import type { DurableOutcome, DurableState } from './durable.ts';
import type { Interruption, Pull } from './pull.ts';

export interface KeepPullingOptions {
  readonly link: BrokerLink;
  readonly pull: Pull;
  readonly trouble: TroubleLog;
  /** Finds or creates the durable. */
  readonly find: () => Promise<DurableOutcome>;
  /** Called each time the durable was found, before messages are asked for. Returns why that cannot be, or nothing. */
  readonly onFound: (state: DurableState) => Promise<string | undefined>;
  readonly signal: AbortSignal;
}

/**
 * Messages keep coming until the signal aborts: whatever ends the stream of messages (a restart, a durable that
 * was deleted, silence), the durable is looked for again. Returns an error only if the connection is closed for good.
 */
export async function keepPulling(options: KeepPullingOptions): Promise<PostcommitError | undefined> {
  const { link, trouble, signal } = options;
  const backoff = createBackoff();
  while (!signal.aborted) {
    await link.waitConnected(signal);
    if (link.connection.isClosed()) return connectionClosed();
    const { reason, answered } = await pullOnce(options);
    if (signal.aborted) break;
    trouble.warn('consumer-interrupted', reason, 'No messages come; looking for the durable again');
    if (answered) backoff.reset();
    await sleep(backoff.next(), signal);
  }
  return undefined;
}

async function pullOnce({ find, onFound, pull, signal }: KeepPullingOptions): Promise<Interruption> {
  const outcome = await find();
  switch (outcome.kind) {
    case 'ready':
      return runFrom(outcome.state, { onFound, pull, signal });
    case 'unavailable':
      return { reason: outcome.reason, answered: false };
    case 'unsuitable':
      return { reason: outcome.error.message, answered: false };
  }
}

async function runFrom(
  state: DurableState,
  { onFound, pull, signal }: Pick<KeepPullingOptions, 'onFound' | 'pull' | 'signal'>,
): Promise<Interruption> {
  // Before the durable is built upon: a connection that breaks from here on ends the run.
  const running = pull.run(signal);
  const reason = await onFound(state);
  if (reason === undefined) pull.ask();
  else pull.interrupt(reason);
  return running;
}

export function connectionClosed(): PostcommitError {
  return new PostcommitError(
    'broker-unreachable',
    'the connection to NATS that the consumer uses was closed',
    'Stop the consumer before its connection; let the connection reconnect for ever (maxReconnectAttempts: -1).',
  );
}
