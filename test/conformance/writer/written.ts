import type { Published, Stage } from '../stage.ts';
import { expectSame } from '../verdict.ts';

/** The event's own id, of a message of the relay's. */
export function idOf({ headers }: Published): string | undefined {
  return headers['Postcommit-Event-Id']?.[0];
}

/** Nothing but events on these subjects, in this order. @throws Unmet */
export async function expectPublished(
  stage: Stage,
  subjects: readonly string[],
): Promise<readonly Published[]> {
  const messages = await stage.published();
  expectSame('the stream to receive', {
    seen: messages.map(({ subject }) => subject),
    expected: subjects,
  });
  return messages;
}

/** What the table of aggregates holds of one. */
export async function aggregateValue({ db }: Stage, aggregate: string): Promise<string | null> {
  const text = 'SELECT value FROM conformance.aggregates WHERE id = $1';
  const { rows } = await db.query<{ value: string }>(text, [aggregate]);
  return rows[0]?.value ?? null;
}
