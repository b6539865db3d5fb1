import { type LeaseTerms, takeLead } from '../lease/lease.ts';
import { sleep } from '../lifecycle/abort.ts';
import type { Session } from '../postgres/session.ts';

/** A standby asks this often: a statement that waited for the lock would pin the database's xmin horizon. */
const ASK_EVERY_MS = 200;

/** Stands by until this session leads; null if the signal aborts first. */
export async function campaign(
  session: Session,
  { terms, signal, onStandby }: { terms: LeaseTerms; signal: AbortSignal; onStandby: () => void },
): Promise<number | null> {
  while (!signal.aborted) {
    const epoch = await takeLead(session, terms);
    if (epoch !== null) return epoch;
    onStandby();
    await sleep(ASK_EVERY_MS * (0.75 + Math.random() / 2), signal);
  }
  return null;
}
