import { repairPositionSequence } from '../outbox/suitability.ts';
import type { Session } from '../postgres/session.ts';
import type { Logger } from '../telemetry/logger.ts';

/**
 * Keeps positions rising. A sequence behind the batch log would hand out positions that were read long ago: the events
 * of those inserts would wait for an audit.
 */
export async function guardSequence(
  session: Session,
  { cursor, logger }: { cursor: number; logger: Logger },
): Promise<void> {
  if ((await repairPositionSequence(session, cursor)) === 'sound') return;
  logger.error(
    { event: 'sequence-moved', cursor },
    'the position sequence stood behind the batch log (a restore, a switchover, a RESTART?) and was moved past it',
  );
}
