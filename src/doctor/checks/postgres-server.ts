import {
  encodingFault,
  readServerFacts,
  standbyFault,
  subscriptionFault,
  type Unsuitability,
  versionFault,
} from '../../outbox/suitability.ts';
import { readConnectionRoom } from '../../postgres/connection-room.ts';
import { describeUrl, type Session } from '../../postgres/session.ts';
import { initialSetting, settingOrigins } from '../../postgres/setting-origins.ts';
import { LEADER_CONNECTIONS } from '../../relay/setback.ts';
import { type Check, onPostgres } from '../check.ts';
import { ok, problem, type Remark, warning } from '../finding.ts';
import { postgresDefectOf, releaseText } from '../server-defects.ts';
import type { Surroundings } from '../surroundings.ts';

export const postgresConnection: Check = {
  name: 'postgres-connection',
  about: 'whether PostgreSQL answers, and has room for the connections of a relay',
  async run(around) {
    const postgres = await around.postgres();
    if (postgres.kind === 'reached') return reached(postgres.connection, around);
    const { message, hint } = postgres.error;
    return [
      problem({
        found: message,
        cause:
          'No server listens there, a network or pg_hba.conf is in the way, or the login is wrong. Nothing is read from the outbox meanwhile; nothing is lost.',
        fix: hint,
      }),
    ];
  },
};

async function reached(session: Session, { options }: Surroundings): Promise<Remark[]> {
  const [row] = await session.query({ text: "select current_setting('server_version'), session_user" });
  const { host, database } = describeUrl(options.databaseUrl());
  const remarks = [ok(`PostgreSQL ${row?.[0]} at ${host}, database ${database}, as ${row?.[1]}`)];
  if (session.pooled) return remarks; // The pooler's connections are shared.
  const { bound, limit, free, ofRelays, role, database: name } = await readConnectionRoom(session);
  if (free + ofRelays >= LEADER_CONNECTIONS) return remarks;
  const fix = {
    max_connections: `Let others use fewer connections, or: ALTER SYSTEM SET max_connections = ${limit + 2 * LEADER_CONNECTIONS}; and restart the server.`,
    role: `ALTER ROLE ${role} CONNECTION LIMIT ${limit + 2 * LEADER_CONNECTIONS};`,
    database: `ALTER DATABASE ${name} CONNECTION LIMIT ${limit + 2 * LEADER_CONNECTIONS};`,
  };
  const fault = problem({
    found: `only ${Math.max(0, free)} more connections are possible (${BOUND[bound]} is ${limit})`,
    cause: `A leading relay keeps ${LEADER_CONNECTIONS} connections, a standby one. Without them a start or a takeover fails.`,
    fix: fix[bound],
  });
  return [fault];
}

const BOUND = {
  max_connections: 'max_connections',
  role: 'the CONNECTION LIMIT of the role',
  database: 'the CONNECTION LIMIT of the database',
} as const;

export const postgresPrimary = onPostgres(
  {
    name: 'postgres-primary',
    about: 'whether this is the primary, takes writes, is no copy that a subscription keeps, and is in UTF8',
  },
  async (session, { options }) => {
    const facts = await readServerFacts(session, options.databaseUrl());
    const faults: Remark[] = [];
    const add = (fault: Unsuitability | undefined, cause: string) => {
      if (fault !== undefined) faults.push(problem({ found: fault.message, cause, fix: fault.hint }));
    };
    add(standbyFault(facts), 'DATABASE_URL leads to a replica, or the server was demoted by a failover.');
    add(encodingFault(facts), 'The encoding of a database is chosen when it is created.');
    add(await subscriptionFault(session), 'Logical replication keeps these tables.');
    if (!facts.recovering) faults.push(...(await readOnlyFaults(session)));
    return faults.length > 0 ? faults : ok('a primary that takes writes, in UTF8');
  },
);

async function readOnlyFaults(session: Session): Promise<Remark[]> {
  const name = 'default_transaction_read_only';
  if ((await initialSetting(session, name)) !== 'on') return [];
  const origins = await settingOrigins(session, name);
  const resets = origins.filter(({ value }) => value !== 'off').map(({ reset }) => reset);
  return [
    problem({
      found: `transactions are read-only by default (${name} is on)`,
      cause:
        'Somebody switched writing off; some services do so when the disk is full. The relay cannot write its plans, and writers cannot commit.',
      fix: resets.length > 0 ? resets.join(' ') : `ALTER SYSTEM RESET ${name}; SELECT pg_reload_conf();`,
    }),
  ];
}

export const postgresVersion = onPostgres(
  {
    name: 'postgres-version',
    about: 'whether PostgreSQL is new enough, and of a release without defects that matter here',
  },
  async (session, { options }) => {
    const facts = await readServerFacts(session, options.databaseUrl());
    const old = versionFault(facts);
    if (old !== undefined)
      return problem({
        found: old.message,
        cause: 'The relay uses what that version does not have.',
        fix: old.hint,
      });
    const defect = postgresDefectOf(facts.version);
    return defect === undefined ? ok(`PostgreSQL ${releaseText(facts.version)}`) : warning(defect);
  },
);

export const pooler = onPostgres(
  { name: 'pooler', about: 'whether a connection pooler stands between the relay and PostgreSQL' },
  async ({ pooled }) =>
    pooled
      ? warning({
          found: 'DATABASE_URL goes through a connection pooler',
          cause:
            'No session outlives its statement there: the relay polls instead of being notified, and a killed leader is replaced when its lease ends, not at once.',
          fix: 'Give the relay a DATABASE_URL that names PostgreSQL itself; writers may stay with the pooler.',
        })
      : ok('a direct connection'),
);
