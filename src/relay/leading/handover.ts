import { isAnotherReady } from '../../lease/readiness.ts';
import { sleep } from '../../lifecycle/abort.ts';
import type { Session } from '../../postgres/session.ts';

const LOOK_EVERY_MS = 250;

/**
 * How long a standby must have NATS while the leader has not. When NATS comes back for all, one of them is first, and
 * the others follow within half a second (`reconnectJitter` in jetstream/connection.ts): nobody must lose the lead for that.
 */
const ALONE_FOR_MS = 2_000;

/**
 * Resolves with true when this leader has not reached NATS for so long, and a standby does: a network may be broken for
 * one host alone, and nobody else can know. When NATS is down for all, no standby is ready, and the lead stays where it is.
 */
export async function shouldHandOver(
  session: Session,
  { isLinked, afterMs, signal }: { isLinked: () => boolean; afterMs: number; signal: AbortSignal },
): Promise<boolean> {
  let linkedAtMs = performance.now();
  let togetherAtMs = linkedAtMs;
  while (!signal.aborted) {
    if (isLinked()) linkedAtMs = performance.now();
    const due = performance.now() - linkedAtMs >= afterMs;
    if (!due || !(await isAnotherReady(session))) togetherAtMs = performance.now();
    else if (performance.now() - togetherAtMs >= ALONE_FOR_MS && !isLinked()) return true;
    await sleep(LOOK_EVERY_MS, signal);
  }
  return false;
}
