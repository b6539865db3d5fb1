import { setSequenceIfLeading, WITHOUT_STANDBYS } from '../lease/lease.ts';
import type { Session } from '../postgres/session.ts';

/** What a change of the parking flag brought back. */
export interface ParkingFlag {
  /** The deadline that this call replaced, in epoch seconds; 0 means awake. */
  readonly replaced: number;
  readonly set: number;
  /** The replaced deadline had passed: writers may have kept silent. */
  readonly lapsed: boolean;
  /** A commit may wait for a standby while it holds the database-wide NOTIFY lock: never park then. */
  readonly synchronousStandbys: boolean;
}

/**
 * Tells writers to notify for the next seconds. Sequences know no transaction, so the lease row is locked first: an
 * older epoch moves nothing. Undefined: this epoch no longer leads.
 */
export async function parkIfLeading(
  session: Session,
  epoch: number,
  seconds: number,
): Promise<ParkingFlag | undefined> {
  const [row] = await session.query({
    name: 'postcommit_park',
    text: `with chair as materialized (select from postcommit.lease where epoch = $1 for update),
           before as materialized (select pg_sequence_last_value('postcommit.parked_until') as flag,
                                          ceil(date_part('epoch', clock_timestamp()) + $2)::int8 as deadline from chair)
           select flag, deadline, to_timestamp(flag) < clock_timestamp(),
                  current_setting('synchronous_standby_names') <> '',
                  case when current_setting('synchronous_standby_names') = ''
                       then setval('postcommit.parked_until', deadline) end,
                  ${WITHOUT_STANDBYS}
             from before`,
    values: [epoch, seconds],
  });
  if (row === undefined) return undefined;
  return {
    replaced: Number(row[0]),
    set: Number(row[1]),
    lapsed: row[2] === 't',
    synchronousStandbys: row[3] === 't',
  };
}

/** Tells writers that the relay is awake. False: this epoch no longer leads. */
export function unparkIfLeading(session: Session, epoch: number): Promise<boolean> {
  return setSequenceIfLeading(session, { epoch, sequence: 'parked_until', value: 0 });
}
