import { readDatabaseState } from '../../migrate/database-state.ts';
import { historyProblem, missingMigrations } from '../../migrate/index.ts';
import { MIGRATIONS_FOLDER, readMigrations } from '../../migrate/migration-files.ts';
import { MOVED_PAST, mayNotLook, privilegeFault, readPositionSequence } from '../../outbox/suitability.ts';
import { type Session, sqlState } from '../../postgres/session.ts';
import { counted, countText } from '../../quantities.ts';
import { onPostgres } from '../check.ts';
import { ok, problem, type Remark, warning } from '../finding.ts';

export const migrations = onPostgres(
  { name: 'migrations', about: 'whether the schema postcommit is as this version needs it' },
  (session) => unlessDenied(() => lookAtMigrations(session)),
);

async function lookAtMigrations(session: Session): Promise<Remark> {
  const [missing, known] = [await missingMigrations(session), await readMigrations(MIGRATIONS_FOLDER)];
  const state = await readDatabaseState(session);
  if (state.schema === null)
    return problem({
      found: `database ${state.database} has no schema postcommit`,
      cause: 'It was never migrated, or DATABASE_URL names another database than the one that was.',
      fix: 'As the role that is to own the schema: postcommit migrate',
    });
  const history = historyProblem(state, known);
  const alien = state.applied === null;
  if (history !== undefined)
    return (alien ? problem : warning)({
      found: history.message,
      cause: alien
        ? 'Another program made a schema of that name.'
        : 'Its versions are mixed: relays work on, but migrate refuses.',
      fix: history.hint,
    });
  if (missing.length > 0)
    return problem({
      found: `the database lacks ${missing.length === 1 ? 'the migration' : 'the migrations'} ${missing.join(', ')}`,
      cause: 'The schema is older than this postcommit: a relay of this version does not start.',
      fix: 'As the role that owns the schema: postcommit migrate',
    });
  return ok(`${counted(known.length, 'migration')}, up to ${known.at(-1)?.name}`);
}

export const privileges = onPostgres(
  { name: 'privileges', about: 'whether the role may do what a relay does' },
  (session) =>
    unlessDenied(async () => {
      const fault = await privilegeFault(session);
      if (fault === undefined) return ok('the role has what a relay needs');
      return problem({
        found: fault.message,
        cause: 'It was never granted, or a migration has brought a new table.',
        fix: fault.hint,
      });
    }),
);

/** A role without USAGE on the schema cannot even ask. */
async function unlessDenied(look: () => Promise<Remark>): Promise<Remark> {
  try {
    return await look();
  } catch (error) {
    if (sqlState(error) !== '42501') throw error;
    const { message, hint } = mayNotLook(error);
    return problem({ found: message, cause: 'The grants of the relay are missing.', fix: hint });
  }
}

export const positionSequence = onPostgres(
  { name: 'position-sequence', about: 'whether positions are drawn one by one and only rise' },
  async (session, { log }) => {
    // In this order: a sequence read before the log might be behind what was planned in between.
    const readTo = Math.max(0, ...(await log(session)).map((row) => row.readTo));
    const { fault, last } = await readPositionSequence(session);
    if (fault !== undefined)
      return problem({
        found: fault.message,
        cause:
          'Somebody altered the sequence. Positions would be drawn long before they are used, and events skipped; a relay does not start.',
        fix: fault.hint,
      });
    if (last >= readTo) return ok(`position ${countText(last)} was the last one drawn`);
    return problem({
      found: `the sequence stands at ${last}, and the log has read up to ${readTo}`,
      cause:
        'A restore, a switchover that left sequences behind, or ALTER SEQUENCE … RESTART. New events get positions where no reader looks any more.',
      fix: `A leading relay moves it within seconds: start one (postcommit relay). Without one: SELECT setval('postcommit.outbox_position_seq', ${readTo + MOVED_PAST}); and then: postcommit audit`,
    });
  },
);
