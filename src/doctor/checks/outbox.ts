import { type Batch, saysAllSettled } from '../../batch-log/batch.ts';
import { plannedAgo } from '../../batch-log/planned-ago.ts';
import { logSpan } from '../../batch-log/recover.ts';
import { isLed, whoLeads } from '../../lease/who-leads.ts';
import { SEGMENTS } from '../../outbox/live-segments.ts';
import { readBacklog } from '../../outbox/read.ts';
import { currentSegment, leafHolders, type SegmentFacts, segmentFacts } from '../../outbox/segments.ts';
import { readClock } from '../../postgres/clock.ts';
import type { Session } from '../../postgres/session.ts';
import { withoutWaiting } from '../../postgres/without-waiting.ts';
import { bytesText, countText, durationText } from '../../quantities.ts';
import { eachLane, onPostgres } from '../check.ts';
import { ok, problem, type Remark, unseen, warning } from '../finding.ts';
import type { LaneSettings, Surroundings } from '../surroundings.ts';

/** A relay looks every few seconds, and at the leaves in turn. */
const EMPTIED_WITHIN_MS = 600_000;

export const outboxSegments = onPostgres(
  {
    name: 'outbox-segments',
    about: 'whether segments of the outbox past POSTCOMMIT_RETENTION are emptied, and who is in the way',
  },
  async (session, { options: { retentionMs } }) => {
    const current = await currentSegment(session);
    const remarks: Remark[] = [];
    const leaves: SegmentFacts[] = [];
    for (const segment of SEGMENTS) {
      const facts = await segmentFacts(session, segment);
      if (facts === undefined) remarks.push(await lockedOut(session, segment));
      else leaves.push(facts);
    }
    for (const leaf of leaves)
      if (leaf.segment !== current && isOverdue(leaf, retentionMs))
        remarks.push(await overdue(session, leaf));
    if (remarks.length > 0) return remarks;
    const used = leaves.filter(({ newestMs }) => newestMs !== null);
    const bytes = leaves.reduce((sum, leaf) => sum + leaf.bytes, 0);
    return ok(`${used.length} of ${SEGMENTS.length} segments hold events, ${bytesText(bytes)} in all`);
  },
);

function isOverdue({ newestMs, nowMs }: SegmentFacts, retentionMs: number): boolean {
  return newestMs !== null && nowMs - newestMs > retentionMs + EMPTIED_WITHIN_MS;
}

async function overdue(session: Session, { segment, newestMs, nowMs, bytes }: SegmentFacts): Promise<Remark> {
  const found = `segment ${segment} (${bytesText(bytes)}) should be empty: its newest event is ${durationText(nowMs - Number(newestMs))} old`;
  const holders = await leafHolders(session, segment);
  const [first] = holders;
  if (first !== undefined) {
    const names = holders.map(
      ({ pid, application }) =>
        `${pid ?? 'a prepared transaction'}${application === '' ? '' : ` (${application})`}`,
    );
    return warning({
      found,
      cause: `Somebody has a lock on it, and nobody is ever made to wait for its emptying: ${names.join(', ')}.`,
      fix:
        first.pid === null
          ? 'See the check old-transactions.'
          : `Let it end, or: SELECT pg_terminate_backend(${first.pid});`,
    });
  }
  if (!isLed(await whoLeads(session)))
    return warning({ found, cause: 'No relay leads, and nobody else empties it.', fix: 'postcommit relay' });
  return warning({
    found,
    cause: 'Some of its events are not known to be stored (a lane is paused), or no plan holds them.',
    fix: 'postcommit audit names them; segment-unsettled and segment-uncovered in the log of the relay say which it is.',
  });
}

async function lockedOut(session: Session, segment: number): Promise<Remark> {
  const [holder] = await leafHolders(session, segment);
  return warning({
    found: `segment ${segment} is locked: nobody can read or write it`,
    cause: `Somebody has an exclusive lock on it${holder?.pid == null ? '' : ` (session ${holder.pid}${holder.application === '' ? '' : `, ${holder.application}`})`}: VACUUM FULL, ALTER TABLE, LOCK.`,
    fix: holder?.pid == null ? 'Let it end.' : `Let it end, or: SELECT pg_terminate_backend(${holder.pid});`,
  });
}

export const backlog = onPostgres(
  { name: 'backlog', about: 'how long events have been waiting (--max-lag)' },
  async (session, around) => {
    const unread = await unreadFault(session, around);
    const unstored = await eachLane(
      around,
      async (lane) => (await unstoredFault(session, lane, around)) ?? [],
    );
    const remarks = [...(unread === undefined ? [] : [unread]), ...unstored];
    return remarks.length > 0
      ? remarks
      : ok(`no event has been waiting for more than ${durationText(around.options.maxLagMs)}`);
  },
);

/** Beyond what the lane that is furthest behind has read. */
async function unreadFault(session: Session, { options, log }: Surroundings): Promise<Remark | undefined> {
  const rows = await log(session);
  const cursor = rows.length === 0 ? 0 : Math.min(...rows.map((row) => row.readTo));
  const waiting = await withoutWaiting(session, () => readBacklog(session, cursor));
  if (waiting === 'busy')
    return unseen('somebody keeps everyone out of the outbox: see the check outbox-segments');
  if (waiting.oldestMs === undefined) return undefined;
  const ageMs = (await readClock(session)) - waiting.oldestMs;
  if (ageMs <= options.maxLagMs) return undefined;
  return late(
    session,
    `up to ${countText(waiting.positions)} events are waiting to be read, the oldest since ${durationText(ageMs)}`,
  );
}

/** Planned, and not in the stream or not known to be. */
async function unstoredFault(
  session: Session,
  { stream }: LaneSettings,
  around: Surroundings,
): Promise<Remark | undefined> {
  const row = (await around.log(session)).find((one) => one.stream === stream);
  const agoMs = row === undefined ? undefined : await plannedAgo(session, stream);
  if (row === undefined || agoMs === undefined || agoMs <= around.options.maxLagMs) return undefined;
  if (row.ordering !== 'stream')
    return saysAllSettled(row)
      ? undefined
      : late(session, `what was planned last, ${durationText(agoMs)} ago, is not known to be stored`);
  const missing = await missingFrom(session, row, around);
  return missing > 0
    ? late(
        session,
        `${countText(missing)} planned events are not in the stream, since ${durationText(agoMs)}`,
      )
    : undefined;
}

async function missingFrom(
  session: Session,
  { stream, incarnation }: Batch,
  around: Surroundings,
): Promise<number> {
  const nats = await around.nats();
  if (nats.kind === 'absent') return 0;
  const lookup = await around.stream(nats.connection, stream);
  if (lookup.kind !== 'found') return 0;
  const { end } = await logSpan(session, stream, incarnation);
  return end - lookup.state.lastSequence;
}

async function late(session: Session, found: string): Promise<Remark> {
  const leadership = await whoLeads(session);
  return problem(
    isLed(leadership)
      ? {
          found,
          cause: `The leader (${leadership.leader}) does not get on: its lane is paused, or it has more to do than it can.`,
          fix: 'GET /readyz of the leader, and lane-paused in its log, give the reason; the checks of the stream below look for it, too.',
        }
      : { found, cause: 'No relay leads.', fix: 'postcommit relay' },
  );
}
