import type { Session } from '../postgres/session.ts';

/** Dead letters that await a decision. */
export async function countDeadLetters(session: Session): Promise<number> {
  const [row] = await session.query({
    name: 'postcommit_count_dead_letters',
    text: "select count(*) from postcommit.dead_letters where state in ('parked', 'held')",
  });
  return Number(row?.[0] ?? 0);
}
