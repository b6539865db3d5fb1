import { renewIfLeading } from '../../lease/lease.ts';
import { sleep } from '../../lifecycle/abort.ts';
import type { Session } from '../../postgres/session.ts';

/** Why a leader must step down. */
export type Loss =
  | 'another relay took over'
  | 'the lease could not be renewed in time'
  | 'it cannot reach NATS, and a standby can';

/**
 * Renews the lease until the signal aborts; resolves with the reason if the lead is lost. Trust is counted from the
 * start of a renewal on the monotonic clock: when the answer came says nothing about when the database gave it.
 */
export async function keepLease(
  session: Session,
  { epoch, ttlMs, signal }: { epoch: number; ttlMs: number; signal: AbortSignal },
): Promise<Loss | undefined> {
  let trustedUntilMs = performance.now() + ttlMs;
  while (!signal.aborted) {
    await sleep(ttlMs * 0.3, signal);
    if (signal.aborted) break;
    const startedAtMs = performance.now();
    if (startedAtMs > trustedUntilMs) return 'the lease could not be renewed in time';
    const renewed = await withinTrust(renewIfLeading(session, epoch, ttlMs), trustedUntilMs - startedAtMs);
    if (renewed === 'late') return 'the lease could not be renewed in time';
    if (!renewed) return 'another relay took over';
    trustedUntilMs = startedAtMs + ttlMs;
  }
  return undefined;
}

async function withinTrust(renewal: Promise<boolean>, ms: number): Promise<boolean | 'late'> {
  const timer = new AbortController();
  const late = sleep(ms, timer.signal).then(() => 'late' as const);
  try {
    return await Promise.race([renewal, late]);
  } finally {
    timer.abort();
    renewal.catch(() => undefined);
  }
}
