import { messageOf, PostcommitError } from '../errors.ts';
import { describeUrl, type Session } from '../postgres/session.ts';
import { SEGMENTS } from './live-segments.ts';

/** Why a relay would do harm, or could do nothing; `hint` says what ends it. */
export interface Unsuitability {
  readonly message: string;
  readonly hint: string;
}

function refuse(fault: Unsuitability | undefined): void {
  if (fault !== undefined) throw new PostcommitError('database-unsuitable', fault.message, fault.hint);
}

export interface ServerFacts {
  readonly recovering: boolean;
  /** As `server_version_num`. */
  readonly version: number;
  readonly encoding: string;
  /** For messages. */
  readonly host: string;
  readonly database: string;
}

export async function readServerFacts(session: Session, url: string): Promise<ServerFacts> {
  const [row] = await session.query({
    text: "select pg_is_in_recovery()::text, current_setting('server_version_num'), current_setting('server_encoding')",
  });
  const [recovering, version, encoding] = row ?? [];
  return {
    recovering: recovering === 'true',
    version: Number(version),
    encoding: String(encoding),
    ...describeUrl(url),
  };
}

/** @throws PostcommitError `database-unsuitable` where a relay would do harm or could do nothing. */
export async function assertPrimary(session: Session, url: string): Promise<void> {
  const facts = await readServerFacts(session, url);
  refuse(standbyFault(facts) ?? versionFault(facts) ?? encodingFault(facts));
}

export function standbyFault({ recovering, host }: ServerFacts): Unsuitability | undefined {
  if (!recovering) return undefined;
  return {
    message: `PostgreSQL at ${host} is a hot standby: the relay has to write its plans, and must not read ahead of the primary`,
    hint: 'Point DATABASE_URL at the primary.',
  };
}

export function versionFault({ version, host }: ServerFacts): Unsuitability | undefined {
  if (version >= 150_000) return undefined;
  return {
    message: `PostgreSQL at ${host} is older than 15`,
    hint: 'Upgrade the server: ranges of positions are aggregated as PostgreSQL 15 introduced it.',
  };
}

export function encodingFault({ encoding, database }: ServerFacts): Unsuitability | undefined {
  if (encoding === 'UTF8') return undefined;
  return {
    message: `database ${database} has the encoding ${encoding}`,
    hint: 'Create the database with ENCODING UTF8: subjects and headers are UTF-8 on NATS.',
  };
}

/** @throws PostcommitError `database-unsuitable` if an enabled subscription has any of the tables. */
export async function assertNotSubscribed(session: Session): Promise<void> {
  refuse(await subscriptionFault(session));
}

/**
 * Where a subscription writes the tables, commits come in the publisher's order while positions come from its sequence,
 * no trigger notifies, and no lock tells who may still fill a gap: a relay here would lose events. What is asked for is
 * public, so that this needs no superuser.
 */
export async function subscriptionFault(session: Session): Promise<Unsuitability | undefined> {
  const rows = await session.query({
    text: `select s.subname, string_agg(c.relname, ', ' order by c.relname)
             from pg_subscription_rel r join pg_subscription s on s.oid = r.srsubid join pg_class c on c.oid = r.srrelid
            where c.relnamespace = to_regnamespace('postcommit') and s.subenabled
              and s.subdbid = (select oid from pg_database where datname = current_database())
            group by s.subname order by s.subname`,
  });
  const [first] = rows;
  if (first === undefined) return undefined;
  return {
    message: `the subscription ${first[0]} writes ${first[1]} of the schema postcommit: this database is the copy, and only the relay of the original sees every event`,
    hint: 'Run the relay at the publisher. After a switchover to this database drop the subscription, or disable it.',
  };
}

/** What the relay does with each object; section 2 of the design, `docs/roles-and-privileges.md`. */
const NEEDED = [
  ['sequence', 'outbox_position_seq', 'SELECT,UPDATE'],
  ['sequence', 'segment', 'SELECT,UPDATE'],
  ['sequence', 'parked_until', 'SELECT,UPDATE'],
  ['table', 'outbox', 'SELECT'],
  ...SEGMENTS.map((segment) => ['table', `outbox_${segment}`, 'SELECT,TRUNCATE'] as const),
  ['table', 'batches', 'SELECT,INSERT,DELETE'],
  ['table', 'lease', 'SELECT,UPDATE'],
  ['table', 'dead_letters', 'SELECT,INSERT,UPDATE,DELETE'],
  ['table', 'requests', 'SELECT,UPDATE,DELETE'],
] as const;

/** @throws PostcommitError `database-unsuitable` with the GRANTs that are missing. */
export async function assertPrivileges(session: Session): Promise<void> {
  refuse(await privilegeFault(session));
}

/**
 * A missing grant would show late, or not at all: PostgreSQL 17 and newer answer null where a sequence may not be
 * read, and nothing would fail but events in other leaves than the first.
 */
export async function privilegeFault(session: Session): Promise<Unsuitability | undefined> {
  const rows = await session.query({
    text: `select kind, name, string_agg(privilege, ', '), quote_ident(current_user) from jsonb_to_recordset($1::jsonb) as n(kind text, name text, needed text),
             unnest(string_to_array(needed, ',')) privilege
            where not case kind when 'sequence' then has_sequence_privilege('postcommit.' || name, privilege)
                                else has_table_privilege('postcommit.' || name, privilege) end
            group by kind, name order by kind, name`,
    values: [JSON.stringify(NEEDED.map(([kind, name, needed]) => ({ kind, name, needed })))],
  });
  if (rows.length === 0) return undefined;
  const missing = rows.map(([, name, privilege]) => `${privilege} on postcommit.${name}`);
  const grants = rows.map(
    ([kind, name, privilege, role]) =>
      `GRANT ${privilege} ON ${kind?.toUpperCase()} postcommit.${name} TO ${role};`,
  );
  return {
    message: `the relay's role lacks ${missing.join(', ')}`,
    hint: `Run as the owner of the schema: ${grants.join(' ')} (docs/roles-and-privileges.md has them all)`,
  };
}

/** What a statement that was refused with 42501 means, at the first look into the schema. */
export function mayNotLook(error: unknown): Unsuitability {
  return {
    message: `the relay's role may not look into the schema "postcommit": ${messageOf(error)}`,
    hint: 'Grant what docs/roles-and-privileges.md lists: USAGE on the schema, SELECT on its tables, and what the relay writes.',
  };
}

/** @throws PostcommitError `database-unsuitable` for a position sequence that hands out positions in any other way. */
export async function assertPositionSequence(session: Session): Promise<void> {
  refuse((await readPositionSequence(session)).fault);
}

/**
 * Positions must rise one by one and never come back. A sequence that stands behind the log (after a restore, a
 * switchover, a RESTART) is moved once, well past it. Returns where it stood then.
 *
 * @throws PostcommitError `database-unsuitable` as `assertPositionSequence`.
 */
export async function repairPositionSequence(
  session: Session,
  highestRead: number,
): Promise<'sound' | number> {
  const { fault, last: stoodAt } = await readPositionSequence(session);
  refuse(fault);
  if (stoodAt >= highestRead) return 'sound';
  // Looked at again where it is set: a relay that froze in between must not set it back.
  const moved = await session.query({
    text: `select setval('postcommit.outbox_position_seq', $1)
            where coalesce(pg_sequence_last_value('postcommit.outbox_position_seq'), 0) < $2::int8`,
    values: [highestRead + MOVED_PAST, highestRead],
  });
  return moved.length === 0 ? 'sound' : stoodAt;
}

/** The last position drawn, and why the sequence does not draw them one by one. */
export async function readPositionSequence(
  session: Session,
): Promise<{ readonly fault: Unsuitability | undefined; readonly last: number }> {
  const [row] = await session.query({
    text: `select seqcache, seqincrement, seqcycle::text, pg_sequence_last_value(seqrelid)
             from pg_sequence where seqrelid = 'postcommit.outbox_position_seq'::regclass`,
  });
  const [cache, increment, cycle, last] = row ?? [];
  const sound = cache === '1' && increment === '1' && cycle !== 'true';
  return { fault: sound ? undefined : sequenceFault(cache, increment, cycle), last: Number(last ?? 0) };
}

function sequenceFault(...[cache, increment, cycle]: (string | null | undefined)[]): Unsuitability {
  return {
    message: `the sequence postcommit.outbox_position_seq has CACHE ${cache} and INCREMENT ${increment}${cycle === 'true' ? ' and cycles' : ''}`,
    hint: 'Run: ALTER SEQUENCE postcommit.outbox_position_seq CACHE 1 INCREMENT 1 NO CYCLE, then reconnect all writers. Cached positions are drawn long before they are used and would be skipped.',
  };
}

/** Room for writers that still hold old values. */
export const MOVED_PAST = 1_000_000;
