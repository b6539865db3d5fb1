import { PostcommitError } from '../errors.ts';
import { createRelay, type Relay, type RelayOptions } from '../relay/index.ts';
import { lookOnce } from './looking.ts';

const READY_MS = 30_000;

/** Resolves when it publishes. @throws PostcommitError when it cannot, with the reason; it is stopped then. */
export async function startRelay(options: RelayOptions): Promise<Relay> {
  const relay = createRelay(options);
  await relay.start();
  const look = await lookOnce(() => relay.ready, READY_MS);
  if (look.kind === 'seen') return relay;
  const { reason, lanes } = relay.status();
  const reasons = [reason, ...lanes.map((lane) => lane.reason)].filter((one) => one !== null);
  await relay.stop({ graceMs: 0 });
  throw new PostcommitError(
    'service-failed',
    `the relay of a scratch does not publish after ${READY_MS} ms: ${reasons.join('; ') || 'it gives no reason'}`,
    'Hand in a `logger` to see what it does.',
  );
}
