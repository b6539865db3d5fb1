import type { Session } from '../postgres/session.ts';

/** Whether an insert wakes a sleeping relay. `not-always`: not where session_replication_role is `replica`. */
export type WakeTrigger = 'always' | 'not-always' | 'disabled' | 'missing';

/** Fails where there is no outbox. */
export async function readWakeTrigger(session: Session): Promise<WakeTrigger> {
  const [row] = await session.query({
    text: `select tgenabled::text from (values ('postcommit.outbox'::regclass)) outbox (id)
             left join pg_trigger on tgrelid = outbox.id and tgname = 'wake_relay'`,
  });
  switch (row?.[0]) {
    case undefined:
    case null:
      return 'missing';
    case 'A':
      return 'always';
    case 'D':
      return 'disabled';
    default:
      return 'not-always';
  }
}
