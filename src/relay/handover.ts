import { isAnotherReady } from '../lease/readiness.ts';
import { sleep } from '../lifecycle/abort.ts';
import type { Session } from '../postgres/session.ts';

const LOOK_EVERY_MS = 250;

/**
 * Resolves with true when this leader has not reached NATS for so long, and a standby does: a network may be broken for
 * one host alone, and nobody else can know. When NATS is down for all, no standby is ready, and the lead stays where it is.
 */
export async function shouldHandOver(
  session: Session,
  { isLinked, afterMs, signal }: { isLinked: () => boolean; afterMs: number; signal: AbortSignal },
): Promise<boolean> {
  let linkedAtMs = performance.now();
  while (!signal.aborted) {
    if (isLinked()) linkedAtMs = performance.now();
    if (performance.now() - linkedAtMs >= afterMs && (await isAnotherReady(session))) return true;
    await sleep(LOOK_EVERY_MS, signal);
  }
  return false;
}
