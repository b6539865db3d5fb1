import type { Site } from '../servers/site.ts';

/** Where the handlers of `consumer-process.ts` write, and the inbox of those that are not ours. */
export async function createEffectsTable({ pool }: Site): Promise<void> {
  await pool.query(`
    create table effects (place bigserial, event_id text, key text, sequence bigint,
                          at timestamptz not null default clock_timestamp());
    create table baseline_inbox (consumer text, event_id text, recorded_at timestamptz not null default clock_timestamp(),
                                 primary key (consumer, event_id))`);
}

export async function forgetEffects({ pool }: Site): Promise<void> {
  await pool.query('truncate effects, baseline_inbox, postcommit.inbox');
}
