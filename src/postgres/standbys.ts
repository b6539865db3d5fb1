import type { Session } from './session.ts';

/** What is known of the standbys that commits wait for. */
export interface StandbyState {
  /** synchronous_standby_names; empty: commits wait for nobody. */
  readonly names: string;
  /** Standbys and other receivers that are connected. */
  readonly receivers: number;
  /** Those that count as synchronous; undefined: this role may not see it. */
  readonly synchronous: number | undefined;
}

export async function readStandbys(session: Session): Promise<StandbyState> {
  const [row] = await session.query({
    text: `
select current_setting('synchronous_standby_names'), count(r.pid),
       count(*) filter (where r.sync_state in ('sync', 'quorum')), pg_has_role(current_user, 'pg_read_all_stats', 'usage')::text
  from (values (1)) one left join pg_stat_replication r on true`,
  });
  return {
    names: row?.[0] ?? '',
    receivers: Number(row?.[1] ?? 0),
    synchronous: row?.[3] === 'true' ? Number(row[2]) : undefined,
  };
}
