import { repairPositionSequence } from '../outbox/suitability.ts';
import type { Session } from '../postgres/session.ts';
import type { Logger } from '../telemetry/logger.ts';

/** `moved`: an audit has to follow at once; positions up to `reusedUpTo` may have been drawn a second time. */
export type SequenceGuard =
  | { readonly kind: 'sound' }
  | { readonly kind: 'moved'; readonly reusedUpTo: number };

/** Values that writers had drawn already and not used when the sequence was moved. */
const DRAWN_MEANWHILE = 1_000;

/**
 * Keeps positions rising. A sequence behind the batch log would hand out positions that were read long ago: the events
 * of those inserts would wait for an audit.
 */
export async function guardSequence(
  session: Session,
  { cursor, logger }: { cursor: number; logger: Logger },
): Promise<SequenceGuard> {
  const stoodAt = await repairPositionSequence(session, cursor);
  if (stoodAt === 'sound') return { kind: 'sound' };
  logger.error(
    { event: 'sequence-moved', cursor, stoodAt },
    'the position sequence stood behind the batch log (a restore, a switchover, a RESTART?) and was moved past it',
  );
  return { kind: 'moved', reusedUpTo: Math.min(cursor, stoodAt + DRAWN_MEANWHILE) };
}
