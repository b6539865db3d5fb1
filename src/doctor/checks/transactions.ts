import { type OldTransaction, openTransactions } from '../../postgres/old-transactions.ts';
import type { Session } from '../../postgres/session.ts';
import { durationText } from '../../quantities.ts';
import { onPostgres } from '../check.ts';
import { ok, problem, type Remark, unseen, warning } from '../finding.ts';
import { sqlName, sqlText } from '../quoting.ts';

export const oldTransactions = onPostgres(
  {
    name: 'old-transactions',
    about: 'transactions that are open for long, and what they hold up: their own events, emptying, VACUUM',
  },
  async (session, { options: { maxTransactionMs } }) => {
    const { old, seesAll, hidden } = await openTransactions(session, maxTransactionMs);
    const remarks = old.map(describe);
    if (remarks.length === 0)
      remarks.push(ok(`none that is visible is older than ${durationText(maxTransactionMs)}`));
    if (!seesAll) remarks.push(await cannotSeeAll(session, hidden));
    return remarks;
  },
);

function describe({ pid, gid, role, application, idle, ageMs, holdsOutbox }: OldTransaction): Remark {
  const who =
    gid === null
      ? `session ${pid} of ${role}${application === '' ? '' : ` (${application})`}`
      : `the prepared transaction '${gid}' of ${role}`;
  const what =
    gid === null ? (idle ? 'is idle in a transaction' : 'is in a transaction') : 'has been waiting';
  const fault = {
    found: `${who} ${what} since ${durationText(ageMs)}${holdsOutbox ? ', and may have written events' : ''}`,
    cause: holdsOutbox
      ? 'Its events come when it ends, and the segments that it may have written to are not emptied. Events of others go on.'
      : 'It keeps VACUUM from removing what was deleted since: the lease and the inbox grow.',
    fix: fixFor({ pid, gid, role, idle }),
  };
  return holdsOutbox && (idle || gid !== null) ? problem(fault) : warning(fault);
}

function fixFor({ pid, gid, role, idle }: Pick<OldTransaction, 'pid' | 'gid' | 'role' | 'idle'>): string {
  if (gid !== null)
    return `COMMIT PREPARED ${sqlText(gid)}; or ROLLBACK PREPARED, whichever its coordinator decided.`;
  const end = `SELECT pg_terminate_backend(${pid});`;
  return idle
    ? `${end} For good: ALTER ROLE ${sqlName(role)} SET idle_in_transaction_session_timeout = '60s';`
    : `Let it end, or: ${end}`;
}

async function cannotSeeAll(session: Session, hidden: number): Promise<Remark> {
  const [row] = await session.query({ text: 'select quote_ident(current_user)' });
  return unseen(
    `since when transactions of other roles are open is hidden from this role${hidden === 0 ? '' : ` (${hidden} are open)`}`,
    `As a superuser: GRANT pg_read_all_stats TO ${row?.[0]}; It also spares the relay looking into gaps that an idle session cannot fill.`,
  );
}
