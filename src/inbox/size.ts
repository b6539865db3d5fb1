import type { Transaction } from '../postgres/transaction-handle.ts';

/** A millisecond or two of an index. */
const COUNTED_AT_MOST = 10_000;

/**
 * How many rows a consumer has in the inbox: counted if they are few, else as the planner estimates them, which reads none
 * and is as good as the table's statistics.
 */
export async function estimateInbox(transaction: Transaction, consumer: string): Promise<number> {
  const [counted] = await transaction.run(
    `SELECT count(*)::text AS rows
       FROM (SELECT FROM postcommit.inbox WHERE consumer = $1::text LIMIT ${COUNTED_AT_MOST + 1}) AS counted`,
    [consumer],
  );
  const rows = Number(counted?.rows);
  if (rows <= COUNTED_AT_MOST) return rows;
  const [explained] = await transaction.run(
    'EXPLAIN (FORMAT JSON) SELECT FROM postcommit.inbox WHERE consumer = $1::text',
    [consumer],
  );
  return Math.max(rows, plannedRows(explained?.['QUERY PLAN']));
}

/** Drivers hand JSON over as a text, or read. */
function plannedRows(answer: unknown): number {
  const plans = typeof answer === 'string' ? (JSON.parse(answer) as unknown) : answer;
  const [plan] = plans as readonly [{ readonly Plan: { readonly 'Plan Rows': number } }];
  return plan.Plan['Plan Rows'];
}
