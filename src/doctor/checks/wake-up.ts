import { messageOf } from '../../errors.ts';
import { readWakeTrigger } from '../../outbox/wake-trigger.ts';
import { notificationRoundTrip } from '../../postgres/notification-round-trip.ts';
import { type Session, sqlState } from '../../postgres/session.ts';
import { durationText, shareText } from '../../quantities.ts';
import { onPostgres } from '../check.ts';
import { ok, problem, type Remark, unseen, warning } from '../finding.ts';
import { type DoctorOptions, SESSION_NAME } from '../surroundings.ts';
import { setForWriters } from './writer-settings.ts';

export const listen = onPostgres(
  {
    name: 'listen',
    about: 'whether a notification comes through (on a channel of its own), and an insert sends one',
  },
  async (session, { options }) => {
    const faults = await triggerFaults(session);
    if (session.pooled) return [...faults, ok('not needed behind a pooler: the relay polls')];
    return [...faults, await roundTrip(session, options)];
  },
);

async function roundTrip(session: Session, { databaseUrl, timeLimitMs }: DoctorOptions): Promise<Remark> {
  const options = { url: databaseUrl(), name: SESSION_NAME, timeoutMs: timeLimitMs / 3 };
  try {
    const tookMs = await notificationRoundTrip(session, options);
    if (tookMs !== undefined) return ok(`a notification came back in ${durationText(tookMs)}`);
  } catch (error) {
    const state = sqlState(error);
    if (state === READ_ONLY) return unseen('a standby notifies nobody: see the check postgres-primary');
    if (state !== QUEUE_FULL) throw error;
    return problem({
      found: `nobody can notify: ${messageOf(error)}`,
      cause:
        'The queue of notifications is full: a session that LISTENs stays in its transaction. Each NOTIFY in the cluster makes its commit fail; writers of events no longer notify, and wait for the sweep of an idle relay, 5 s.',
      fix: END_LISTENER,
    });
  }
  return problem({
    found: 'a notification never came back',
    cause:
      'Something between the relay and PostgreSQL (a proxy, a pooler that hides itself) does not pass notifications on: events of an idle relay wait for its sweep, 5 s.',
    fix: 'Give the relay a DATABASE_URL that names PostgreSQL itself.',
  });
}

const QUEUE_FULL = '54000';
const READ_ONLY = '25006';

async function triggerFaults(session: Session): Promise<Remark[]> {
  const state = await readWakeTrigger(session);
  if (state === 'always') return [];
  if (state === 'missing')
    return [
      problem({
        found: 'the outbox has no trigger wake_relay',
        cause: 'It was dropped: no insert wakes an idle relay, and events wait for its sweep, 5 s.',
        fix: 'CREATE TRIGGER wake_relay AFTER INSERT ON postcommit.outbox FOR EACH STATEMENT EXECUTE FUNCTION postcommit.wake_relay(); ALTER TABLE postcommit.outbox ENABLE ALWAYS TRIGGER wake_relay;',
      }),
    ];
  const fault = {
    found:
      state === 'disabled' ? 'the trigger wake_relay is disabled' : 'the trigger wake_relay is not ALWAYS on',
    cause:
      state === 'disabled'
        ? 'Somebody switched it off (DISABLE TRIGGER ALL, an import): no insert wakes an idle relay, and events wait for its sweep, 5 s.'
        : 'Sessions with session_replication_role = replica do not wake an idle relay.',
    fix: 'ALTER TABLE postcommit.outbox ENABLE ALWAYS TRIGGER wake_relay;',
  };
  return [state === 'disabled' ? problem(fault) : warning(fault)];
}

/** The trigger keeps silent beyond it. */
const HALF = 0.5;

export const notificationQueue = onPostgres(
  {
    name: 'notification-queue',
    about: 'how full the queue of notifications is, and whether writers are told not to notify',
  },
  async (session) => {
    const [row] = await session.query({ text: 'select pg_notification_queue_usage()' });
    const usage = Number(row?.[0]);
    const silenced = await setForWriters(session, { name: 'postcommit.notify', value: 'off' });
    const remarks: Remark[] = [];
    if (usage > HALF)
      remarks.push(
        problem({
          found: `the queue of notifications is ${shareText(usage)} full`,
          cause:
            'A session that LISTENs stays in its transaction, and nothing behind that is removed. Writers no longer notify, so that events of an idle relay wait for its sweep; a full queue makes the commit of every NOTIFY in the cluster fail.',
          fix: END_LISTENER,
        }),
      );
    for (const { role, reset } of silenced)
      remarks.push(
        warning({
          found: `postcommit.notify is off for ${role === null ? 'the whole database' : `the role ${role}`}`,
          cause:
            'Their inserts never wake an idle relay: their events wait for its sweep, 5 s. It is meant for single transactions, before PREPARE TRANSACTION.',
          fix: reset,
        }),
      );
    return remarks.length > 0 ? remarks : ok(`${shareText(usage)} full`);
  },
);

const END_LISTENER =
  "End the session that listens and is idle in its transaction: SELECT pid, application_name, xact_start FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' ORDER BY xact_start; and then SELECT pg_terminate_backend(pid);";
