import { lookUpStreamFacts } from '../../jetstream/index.ts';
import { whoLeads } from '../../lease/who-leads.ts';
import { readClock } from '../../postgres/clock.ts';
import type { Session } from '../../postgres/session.ts';
import { durationText } from '../../quantities.ts';
import { onPostgres } from '../check.ts';
import { ok, problem, type Remark, warning } from '../finding.ts';
import type { Surroundings } from '../surroundings.ts';

/** Clocks that are kept in step differ by milliseconds. */
const TOLERATED_MS = 2_000;
/** No relay takes a lease for so long. */
const LONGEST_LEASE_MS = 600_000;

export const clockSkew = onPostgres(
  { name: 'clock-skew', about: 'whether the clocks of this host, PostgreSQL and NATS agree' },
  async (session, around) => {
    const ofDatabase = await skewOf(around, () => readClock(session));
    const ofBroker = await brokerSkew(around);
    const remarks = [
      ...skewFaults('PostgreSQL', ofDatabase),
      ...(ofBroker === undefined ? [] : skewFaults('NATS', ofBroker)),
      ...(await leaseFaults(session)),
    ];
    if (remarks.length > 0) return remarks;
    const broker =
      ofBroker === undefined
        ? '; NATS does not tell its own'
        : `, NATS by ${durationText(Math.abs(ofBroker))}`;
    return ok(`PostgreSQL differs by ${durationText(Math.abs(ofDatabase))}${broker}`);
  },
);

/** Positive: the server is ahead of this host. Half of the way there and back is not the clock's doing. */
async function skewOf({ now }: Surroundings, read: () => Promise<number>): Promise<number> {
  const startedAtMs = performance.now();
  const beganAt = now();
  const told = await read();
  return told - (beganAt + (performance.now() - startedAtMs) / 2);
}

async function brokerSkew(around: Surroundings): Promise<number | undefined> {
  const nats = await around.nats();
  const [lane] = around.options.lanes;
  if (nats.kind === 'absent' || lane === undefined) return undefined;
  let told: number | undefined;
  const skew = await skewOf(around, async () => {
    told = (await lookUpStreamFacts(nats.connection, lane.stream))?.serverTimeMs;
    return told ?? 0;
  });
  return told === undefined ? undefined : skew;
}

function skewFaults(server: string, skewMs: number): Remark[] {
  if (Math.abs(skewMs) <= TOLERATED_MS) return [];
  return [
    warning({
      found: `the clock of ${server} is ${durationText(Math.abs(skewMs))} ${skewMs > 0 ? 'ahead of' : 'behind'} that of this host`,
      cause:
        'No lease and no order depends on it, but ages in metrics, logs and here are wrong by as much, and certificates may seem expired.',
      fix: 'Keep the clocks of all hosts in step: timedatectl set-ntp true, or chronyc tracking to see what is wrong.',
    }),
  ];
}

/** The lease is on the database's clock: set back, it makes a lease that does not end. */
async function leaseFaults(session: Session): Promise<Remark[]> {
  const { leader, expiresInMs } = await whoLeads(session).catch(() => ({ leader: null, expiresInMs: null }));
  if (expiresInMs === null || expiresInMs <= LONGEST_LEASE_MS) return [];
  return [
    problem({
      found: `the lease of ${leader} runs for another ${durationText(expiresInMs)}`,
      cause: 'The clock of PostgreSQL was set back: should that leader hang, its standby waits as long.',
      fix: 'Restart that leader in order (SIGTERM), which gives the lease up; and keep the clock of PostgreSQL in step.',
    }),
  ];
}
