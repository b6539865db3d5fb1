import { type LeaseTerms, takeLead } from '../../lease/lease.ts';
import { declareReady, isAnotherReady } from '../../lease/readiness.ts';
import { sleep } from '../../lifecycle/abort.ts';
import type { Session } from '../../postgres/session.ts';

/** A standby asks this often: a statement that waited for the lock would pin the database's xmin horizon. */
const ASK_EVERY_MS = 200;

export interface CampaignOptions {
  readonly terms: LeaseTerms;
  /** Whether NATS can be reached: without it one that reaches it goes first. */
  readonly isLinked: () => boolean;
  readonly onStandby: () => void;
  readonly signal: AbortSignal;
}

/** Stands by until this session leads; null if the signal aborts first. */
export async function campaign(
  session: Session,
  { terms, isLinked, onStandby, signal }: CampaignOptions,
): Promise<number | null> {
  let declared = false;
  while (!signal.aborted) {
    const linked = isLinked();
    const epoch = linked || !(await isAnotherReady(session)) ? await takeLead(session, terms) : null;
    if (epoch !== null) {
      if (declared) await declareReady(session, false);
      return epoch;
    }
    if (declared !== linked) await declareReady(session, linked);
    declared = linked;
    onStandby();
    await sleep(ASK_EVERY_MS * (0.75 + Math.random() / 2), signal);
  }
  return null;
}
