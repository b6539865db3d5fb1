import { messageOf, PostcommitError } from '../errors.ts';
import { sleep } from '../lifecycle/abort.ts';
import { sqlState } from '../postgres/session.ts';
import type { Check } from './check.ts';
import { type Finding, ok, type Remark, toFinding, unseen, warning } from './finding.ts';
import { createSurroundings, type DoctorOptions, type Surroundings } from './surroundings.ts';

/** Runs one check after the other, each within its time; one that fails is a finding, and the others go on. */
export async function* examine(
  checks: readonly Check[],
  options: DoctorOptions,
): AsyncGenerator<readonly Finding[]> {
  await using around = createSurroundings(options);
  for (const check of checks) {
    const remarks = await runInTime(check, around);
    yield (remarks.length === 0 ? [ok('nothing to look at')] : remarks).map((remark) =>
      toFinding(check.name, remark),
    );
  }
}

async function runInTime(check: Check, around: Surroundings): Promise<readonly Remark[]> {
  const { timeLimitMs } = around.options;
  const over = new AbortController();
  const late = sleep(timeLimitMs, over.signal).then(() => [tookTooLong(timeLimitMs)]);
  const looked = check.run(around).catch((error: unknown) => [couldNotLook(error)]);
  try {
    return await Promise.race([looked, late]);
  } finally {
    over.abort();
  }
}

function tookTooLong(timeLimitMs: number): Remark {
  return warning({
    found: `no answer within ${timeLimitMs} ms`,
    cause: 'A server answers slowly, or a network in between swallows its answers.',
    fix: 'Look at the load of the servers and at the network; --timeout gives each check more time.',
  });
}

/** What a statement says of a schema that is not there, or not yet as this version has it. */
const NO_SCHEMA: ReadonlySet<string | undefined> = new Set(['42P01', '3F000', '42703', '42883']);
/** Somebody keeps everyone out of a table, or the statement was too slow. */
const BUSY: ReadonlySet<string | undefined> = new Set(['55P03', '57014']);

function couldNotLook(error: unknown): Remark {
  const state = sqlState(error);
  if (NO_SCHEMA.has(state))
    return unseen('the schema is not as this version needs it: see the check migrations');
  if (state === '42501')
    return unseen(
      `the role may not look: ${messageOf(error)}`,
      'Grant what docs/roles-and-privileges.md lists.',
    );
  if (BUSY.has(state)) return unseen(`the database is busy: ${messageOf(error)}`, 'Try again later.');
  if (error instanceof PostcommitError) return unseen(error.message, error.hint);
  return warning({
    found: `the check failed: ${messageOf(error)}`,
    cause: 'A connection was lost in the midst of it, or a server gave an answer that nobody expected.',
    fix: 'Run it again; if it stays, report it with the versions of both servers.',
  });
}
