import type { Batch } from '../../batch-log/batch.ts';
import type { BrokerLink, StreamState } from '../../jetstream/index.ts';
import type { Session } from '../../postgres/session.ts';
import { counted } from '../../quantities.ts';
import { createLineage } from '../../relay/lane/lineage.ts';
import { silentLogger } from '../../telemetry/logger.ts';
import { eachLane, onNats } from '../check.ts';
import { ok, problem, type Remark, unseen } from '../finding.ts';
import { shellWord } from '../quoting.ts';
import type { LaneSettings, Surroundings } from '../surroundings.ts';
import { unfitFor } from './unfit.ts';

export const stream = onNats(
  {
    name: 'stream',
    about: 'whether the stream of each lane is there, takes messages, and is the one that was planned for',
  },
  (link, around) =>
    eachLane(around, async (lane) => {
      const postgres = await around.postgres();
      const session = postgres.kind === 'reached' ? postgres.connection : undefined;
      // The log before the stream: what is settled by then must be there.
      const last = await lastRowOf(session, lane, around);
      const lookup = await around.stream(link, lane.stream);
      if (lookup.kind === 'unavailable') return unavailable(lookup.reason, lane);
      if (lookup.kind === 'missing') return missing(lane, { last, session, around });
      const { state } = lookup;
      const faults = unfitFor(state, lane, ['mirror', 'sealed', 'sources']);
      if (session !== undefined && last !== undefined)
        faults.push(...(await strangerFaults(session, link, { state, last, around })));
      return faults.length > 0 ? faults : ok(`there, with ${counted(state.messages, 'message')}`);
    }),
);

/** Undefined without PostgreSQL, too, or where the schema cannot be looked at. */
async function lastRowOf(
  session: Session | undefined,
  { stream }: LaneSettings,
  { log }: Surroundings,
): Promise<Batch | undefined> {
  if (session === undefined) return undefined;
  const rows = await log(session).catch(() => []);
  return rows.find((row) => row.stream === stream);
}

function unavailable(reason: string, { stream }: LaneSettings): Remark {
  return problem({
    found: reason,
    cause:
      'JetStream does not answer for it: an election, a majority that is down, or a permission that is missing.',
    fix: `If it stays: nats stream info ${shellWord(stream)}; permit the relay's user to publish to '$JS.API.STREAM.INFO.${stream}'.`,
  });
}

interface Missing {
  readonly last: Batch | undefined;
  readonly session: Session | undefined;
  readonly around: Surroundings;
}

function missing({ stream, subjects }: LaneSettings, { last, session, around }: Missing): Remark {
  if (last !== undefined)
    return problem({
      found: `stream '${stream}' is gone, and the batch log holds plans for it`,
      cause: 'It was deleted. The relay never makes it anew unasked: that would hide what is lost.',
      fix: `Restore it, or have it made anew and go on: postcommit adopt --stream ${shellWord(stream)}`,
    });
  if (!around.options.provision)
    return problem({
      found: `stream '${stream}' does not exist, and creating it is switched off (POSTCOMMIT_PROVISION)`,
      cause: 'Nobody has made it yet.',
      fix: `nats stream add ${shellWord(stream)} --subjects ${shellWord(subjects.join(','))} --storage file --discard new --defaults; or POSTCOMMIT_PROVISION=true`,
    });
  if (session === undefined)
    return unseen(`stream '${stream}' does not exist; whether it should is for PostgreSQL to say`);
  return ok('not there yet: the relay makes it when it starts, on disk, with one copy and without limits');
}

interface Known {
  readonly state: StreamState;
  readonly last: Batch;
  readonly around: Surroundings;
}

const PROOF_TAKES_MS = 5_000;

/** Another stream under the name, or the same one that has lost its end. */
async function strangerFaults(
  session: Session,
  link: BrokerLink,
  { state, last, around }: Known,
): Promise<Remark[]> {
  const lineage = createLineage({
    session,
    link,
    source: await around.source(session),
    logger: silentLogger(),
  });
  const known = await lineage.recognise(state, last, AbortSignal.timeout(PROOF_TAKES_MS));
  if (known.created !== last.incarnation)
    return [
      problem({
        found: `stream '${state.name}' is not the one planned for: it was created ${state.created}, the batch log speaks of ${last.incarnation}`,
        cause:
          'It was deleted and made anew, or restored from elsewhere. What the log says of sequences is of another stream: the lane waits for a person.',
        fix: `Go on with it: postcommit adopt --stream ${shellWord(state.name)} (what was stored before counts as published; with --republish what the outbox still holds goes onto it again). Or restore the old one.`,
      }),
    ];
  const settledTo = last.settledTo ?? 0;
  if (last.ordering !== 'stream' || settledTo <= state.lastSequence) return [];
  return [
    problem({
      found: `stream '${state.name}' ends at sequence ${state.lastSequence}, and had acknowledged ${settledTo}`,
      cause: 'It has lost its tail: a power loss, a failover of NATS, an older backup.',
      fix: 'A leading relay publishes what is lost again, from the outbox: start one (postcommit relay).',
    }),
  ];
}
