import type { Session } from '../postgres/session.ts';

/** A relay's session for the lease begins with this name in `pg_stat_activity`; its member's name follows. */
export const LEASE_SESSION = 'postcommit lease';

export interface Leadership {
  readonly epoch: number;
  /** Null before the first leader, and after a clean stop of the last one. */
  readonly leader: string | null;
  /** Milliseconds until the lease runs out; negative once it has. */
  readonly expiresInMs: number | null;
  /** Other relays that have a session here. Behind a pooler they have none of their own. */
  readonly standbys: readonly string[];
}

/** PostgreSQL keeps so much of a session's name, and with it of a member's. */
const NAME_BYTES = 63;

/** A session for the lease under the name of its member. */
export function leaseSessionName(member: string): string {
  return `${LEASE_SESSION} ${member}`.slice(0, NAME_BYTES);
}

export async function whoLeads(session: Session): Promise<Leadership> {
  const [row] = await session.query({
    name: 'postcommit_who_leads',
    text: `select epoch, case when holder is not null then holder end,
                  date_part('epoch', expires_at - clock_timestamp()) * 1000,
                  (select coalesce(json_agg(substr(application_name, length($1) + 2) order by application_name), '[]')
                     from pg_stat_activity where datname = current_database() and application_name like $1 || '%')
             from postcommit.lease`,
    values: [LEASE_SESSION],
  });
  const [epoch, leader = null, expiresInMs, members] = row ?? [];
  return {
    epoch: Number(epoch ?? 0),
    leader,
    expiresInMs: expiresInMs == null ? null : Number(expiresInMs),
    standbys: standbysAmong(JSON.parse(members ?? '[]') as string[], leader),
  };
}

/** Relays of the version before had sessions without a member's name. */
function standbysAmong(members: readonly string[], leader: string | null): string[] {
  const leading = leader === null ? '' : leaseSessionName(leader.replace(/ \(pooled\)$/, ''));
  return [...new Set(members)].filter((member) => member !== '' && leaseSessionName(member) !== leading);
}

/** Whether a relay leads now. */
export function isLed({ leader, expiresInMs }: Pick<Leadership, 'leader' | 'expiresInMs'>): boolean {
  return leader !== null && (expiresInMs ?? 0) > 0;
}

/** Who works of the consumers that keep an order and have their inbox here. */
export interface ConsumerSeat {
  /** `<stream>/<durable>`. */
  readonly consumer: string;
  readonly holder: string | null;
  readonly expired: boolean;
  /** For how long it has been, in milliseconds; null while it has not, or if nobody ever held it. */
  readonly expiredForMs: number | null;
}

export async function consumerSeats(session: Session): Promise<ConsumerSeat[]> {
  const rows = await session.query({
    name: 'postcommit_consumer_seats',
    text: `select consumer, holder, coalesce(expires_at < clock_timestamp(), true),
                  case when expires_at < clock_timestamp() then date_part('epoch', clock_timestamp() - expires_at) * 1000 end
             from postcommit.consumer_leases order by consumer limit 1000`,
  });
  return rows.map(([consumer, holder, expired, expiredFor]) => ({
    consumer: consumer ?? '',
    holder: holder ?? null,
    expired: expired === 't',
    expiredForMs: expiredFor == null ? null : Number(expiredFor),
  }));
}
