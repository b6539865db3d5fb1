import pg from 'pg';
import { migrate } from '../../src/migrate/index.ts';
import { createLeafCheck, type Emptying } from '../../src/outbox/emptying.ts';
import { READ_SETTINGS } from '../../src/outbox/read.ts';
import { openSession, type Session } from '../../src/postgres/session.ts';
import { createRing, type Ring, type RingFacts } from '../../src/relay/upkeep/ring.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { query } from './query.ts';
import { createMigratedDatabase, scratchName } from './services.ts';

/**
 * An outbox with its ring and its log, and no relay: events are planned by hand, so that a test decides what is settled
 * and when a turn is taken. Everything is done by roles with no more than the privileges of docs/roles-and-privileges.md.
 */
export interface RingRig extends AsyncDisposable {
  /** As the superuser. */
  readonly url: string;
  /** As the role that may only insert. */
  readonly writerUrl: string;
  readonly relayUrl: string;
  readonly operatorUrl: string;
  readonly admin: pg.Client;
  /** Of the relay's role. */
  readonly session: Session;
  readonly lines: readonly { readonly event?: string; readonly [field: string]: unknown }[];
  connect(url?: string): Promise<pg.Client>;
  openSession(options?: { pooled?: boolean }): Promise<Session>;
  /** In one statement, into this leaf. Returns their positions. */
  insert(count: number, options?: { segment?: number; positions?: readonly number[] }): Promise<number[]>;
  /** Writes one row of the log. */
  plan(row?: PlanRow): Promise<void>;
  /** Tries to empty a leaf; a check that is under way goes on. */
  empty(segment: number, settled?: RingFacts['lanes']): Promise<Emptying>;
  /** What the ring shows. */
  readonly metrics: Metrics;
  ring(options: { retentionMs: number; segmentBytes?: number }): Ring;
  rowsIn(segment: number): Promise<number>;
  /** Everything as it was in the beginning. */
  reset(): Promise<void>;
}

export interface PlanRow {
  readonly stream?: string;
  readonly incarnation?: string;
  readonly ordering?: 'stream' | 'key' | 'none';
  readonly kind?: 'new' | 'retry' | 'again' | 'marker' | 'found' | 'replay';
  readonly first?: number;
  readonly settledTo?: number | null;
  readonly settledBatch?: number | null;
  readonly positions?: readonly number[];
  readonly parked?: readonly number[];
  readonly readTo?: number;
  readonly openFrom?: number;
}

/** On a server of the test's own, or on that of the run. */
export async function openRingRig({ serverUrl }: { serverUrl?: string } = {}): Promise<RingRig> {
  const database = serverUrl === undefined ? await createMigratedDatabase() : await migrated(serverUrl);
  const roles = {
    relay: scratchName('relay'),
    writer: scratchName('writer'),
    operator: scratchName('operator'),
  };
  const { relay, writer, operator } = roles;
  const admin = new pg.Client({ connectionString: database.url });
  await admin.connect();
  await admin.query(rolesOf(roles));
  await admin.query('update postcommit.lease set epoch = 1');
  const as = (role: string) => {
    const url = new URL(database.url);
    url.username = role;
    return url.href;
  };
  const clients: pg.Client[] = [];
  const sessions: Session[] = [];
  const open = async ({ pooled = false } = {}) => {
    const session = await openSession({
      url: as(relay),
      name: 'postcommit maintenance',
      settings: READ_SETTINGS,
      ...(pooled ? { pooled } : {}),
    });
    sessions.push(session);
    return session;
  };
  const session = await open();
  const lines: RingRig['lines'][number][] = [];
  const logger = createLogger({ destination: { write: (line) => void lines.push(JSON.parse(line)) } });
  const metrics = createMetrics();
  const checks = new Map<number, ReturnType<typeof createLeafCheck>>();
  return {
    url: database.url,
    writerUrl: as(writer),
    relayUrl: as(relay),
    operatorUrl: as(operator),
    admin,
    session,
    lines,
    metrics,
    async connect(url = database.url) {
      const client = new pg.Client({ connectionString: url });
      client.on('error', () => undefined);
      clients.push(client);
      await client.connect();
      return client;
    },
    openSession: open,
    insert: (count, options) => insert(admin, count, options),
    plan: (row) => plan(admin, row),
    empty(segment, settled = []) {
      const check = checks.get(segment) ?? createLeafCheck(session, segment);
      checks.set(segment, check);
      return check.emptyIfStored({ epoch: 1, settled, budgetMs: 60_000 });
    },
    ring: ({ retentionMs, segmentBytes = 256 * 1024 * 1024 }) =>
      createRing({ session, epoch: 1, retentionMs, segmentBytes, logger, metrics }),
    async rowsIn(segment) {
      const { rows } = await admin.query(`select count(*)::int from only postcommit.outbox_${segment}`);
      return rows[0].count;
    },
    async reset() {
      checks.clear();
      lines.splice(0);
      await admin.query(RESET);
    },
    async [Symbol.asyncDispose]() {
      for (const one of sessions) await one.close();
      for (const client of clients) await client.end().catch(() => undefined);
      await admin.end();
      const { href } = new URL('/postgres', database.url);
      await database.drop();
      if (serverUrl === undefined) await query(href, `drop role ${relay}, ${writer}, ${operator}`);
    },
  };
}

async function migrated(url: string) {
  await migrate({ url });
  return { url, drop: () => Promise.resolve() };
}

const RESET = `
truncate postcommit.outbox, postcommit.batches, postcommit.dead_letters, postcommit.requests;
alter sequence postcommit.outbox_position_seq restart;
select setval('postcommit.segment', 0);
update postcommit.lease set epoch = 1;
`;

async function insert(
  admin: pg.Client,
  count: number,
  { segment, positions }: { segment?: number; positions?: readonly number[] } = {},
): Promise<number[]> {
  const { rows } = await admin.query(
    `insert into postcommit.outbox (position, segment, subject, payload) overriding system value
     select coalesce(($3::int8[])[i], nextval('postcommit.outbox_position_seq')),
            coalesce($2::int2, pg_sequence_last_value('postcommit.segment')), 'a.b', convert_to(i::text, 'UTF8')
       from generate_series(1, $1::int) i returning position::int`,
    [count, segment ?? null, positions ?? null],
  );
  return rows.map(({ position }) => position);
}

/** Behind the row before it, at the end of the plan, and at the end of reading. */
async function plan(admin: pg.Client, row: PlanRow = {}): Promise<void> {
  const { stream = 'a', positions = [], parked = [] } = row;
  await admin.query(
    `insert into postcommit.batches (stream, incarnation, batch, epoch, ordering, kind, first_sequence, last_sequence,
       settled_to, settled_batch, positions, parked, read_to, open_from)
     select $1, $2, coalesce(max(batch), 0) + 1, 1, $3, $4, coalesce($5, coalesce(max(last_sequence), 0) + 1),
            coalesce($5, coalesce(max(last_sequence), 0) + 1) + cardinality($8::int8[]) - 1, $6, $7,
            (select coalesce(range_agg(int8range(p, p, '[]')), '{}') from unnest($8::int8[]) p),
            (select coalesce(range_agg(int8range(p, p, '[]')), '{}') from unnest($9::int8[]) p),
            coalesce($10, greatest(max(read_to), (select max(p) from unnest($8::int8[] || $9::int8[]) p), 0)),
            coalesce($11, coalesce($10, greatest(max(read_to), (select max(p) from unnest($8::int8[] || $9::int8[]) p), 0)) + 1)
       from postcommit.batches where stream = $1`,
    [
      stream,
      row.incarnation ?? 'i1',
      row.ordering ?? 'stream',
      row.kind ?? 'new',
      row.first ?? null,
      row.settledTo ?? null,
      row.settledBatch ?? null,
      positions,
      parked,
      row.readTo ?? null,
      row.openFrom ?? null,
    ],
  );
}

function rolesOf({
  relay,
  writer,
  operator,
}: Readonly<Record<'relay' | 'writer' | 'operator', string>>): string {
  const leaves = Array.from({ length: 8 }, (_, i) => `postcommit.outbox_${i}`).join(', ');
  return `
create role ${relay} login;
create role ${writer} login;
create role ${operator} login;
grant usage on schema postcommit to ${relay}, ${writer}, ${operator};
grant select on all tables in schema postcommit to ${relay}, ${operator};
grant insert (kind, detail) on postcommit.requests to ${operator};
grant insert, delete on postcommit.batches to ${relay};
grant update on postcommit.lease to ${relay};
grant insert, update, delete on postcommit.dead_letters to ${relay};
grant update, delete on postcommit.requests to ${relay};
grant truncate on ${leaves} to ${relay};
grant select, update on sequence postcommit.segment, postcommit.parked_until, postcommit.outbox_position_seq to ${relay};
grant insert (subject, payload, key, type, headers, event_id) on postcommit.outbox to ${writer};
grant select on sequence postcommit.segment, postcommit.parked_until to ${writer};
`;
}
