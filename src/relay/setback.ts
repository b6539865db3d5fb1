import { messageOf, PostcommitError } from '../errors.ts';
import { PooledUnawares } from '../lease/lease.ts';
import { sqlState } from '../postgres/session.ts';

/** Why a term ended or could not begin, in words for a person: what happened and what ends it. */
export function setbackOf(error: unknown): string {
  if (error instanceof PostcommitError) return `${error.message}. ${error.hint}`;
  const reason = messageOf(error);
  const advice = ADVICE[sqlState(error) ?? ''];
  return advice === undefined ? reason : `${reason} (${sqlState(error)}). ${advice}`;
}

/** Of a leader; a standby has one, and a leader behind a pooler needs one less. */
export const LEADER_CONNECTIONS = 5;

/** The conditions that last until a person ends them. The relay tries again meanwhile, every few seconds at most. */
const ADVICE: Readonly<Record<string, string>> = {
  '25006':
    'PostgreSQL accepts no writes: default_transaction_read_only is on (ALTER DATABASE, ALTER ROLE or ALTER SYSTEM; some services switch it on when the disk is full), or the server became a standby. The relay goes on by itself once that is undone, or when DATABASE_URL leads to the new primary',
  '53300': `Raise max_connections, or let others use fewer connections: a relay needs ${LEADER_CONNECTIONS}`,
  '42501': 'Grant what docs/roles-and-privileges.md lists',
};

/** Prepared statements of a session that another backend does not know, or has from somebody else. */
const LOST_STATEMENT_STATES: ReadonlySet<string | undefined> = new Set(['26000', '42P05']);

/** A session turned out to be a transaction pooler's, though its greeting did not say so. */
export function showsPooler(error: unknown): boolean {
  return error instanceof PooledUnawares || LOST_STATEMENT_STATES.has(sqlState(error));
}
