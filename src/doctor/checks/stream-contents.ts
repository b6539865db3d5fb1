import { logSpan } from '../../batch-log/recover.ts';
import { lookUpStreamFacts, type ReadBack, readBack, type StreamState } from '../../jetstream/index.ts';
import type { Session } from '../../postgres/session.ts';
import { countText, durationFlag, durationText } from '../../quantities.ts';
import { onStreams, onStreamsAndPostgres, type StreamScene } from '../check.ts';
import { ok, problem, type Remark, warning } from '../finding.ts';
import { shellWord } from '../quoting.ts';

/** Of the newest messages; fewer where they are large, for their payloads come along. */
const LOOK_AT = 256;
const BYTES_TO_READ = 4 * 1024 * 1024;

export const foreignWriters = onStreamsAndPostgres(
  {
    name: 'foreign-writers',
    about: 'in stream ordering: whether all of the newest messages are of this outbox',
  },
  async (scene) => {
    if (scene.lane.ordering !== 'stream')
      return ok(`in ${scene.lane.ordering} ordering others may write to it`);
    const { state, link, around } = scene;
    const from = await firstToLookAt(scene);
    if (from > state.lastSequence) return ok('nothing to look at: nothing was planned for what it holds');
    const source = await around.source(scene.session);
    const messages = await readBack(link, { stream: state.name, from, to: state.lastSequence });
    const foreign = messages.filter((one) => one.kind === 'message' && one.source !== source);
    if (foreign.length === 0)
      return ok(`the newest ${countText(messages.length)} messages are of '${source}'`);
    return describe(foreign, state);
  },
);

/** What lies before the first plan was there before the relay was. */
async function firstToLookAt({
  state,
  session,
  around,
}: StreamScene & { session: Session }): Promise<number> {
  const last = (await around.log(session)).find(({ stream }) => stream === state.name);
  if (last === undefined) return Number.POSITIVE_INFINITY;
  const { start } = await logSpan(session, state.name, last.incarnation);
  const average = Math.max(1, state.bytes / Math.max(1, state.messages));
  const count = Math.max(1, Math.min(LOOK_AT, Math.floor(BYTES_TO_READ / average)));
  return Math.max(1, start, state.firstSequence, state.lastSequence - count + 1);
}

function describe(foreign: readonly ReadBack[], { name }: StreamState): Remark {
  const newest = foreign.at(-1);
  const of = newest?.kind === 'message' ? newest : undefined;
  const writer = of?.source == null ? 'a publisher other than a relay' : `the outbox '${of.source}'`;
  return problem({
    found: `${countText(foreign.length)} of the newest messages in '${name}' are not of this outbox, that at sequence ${of?.sequence} of ${writer}, on '${of?.subject}'`,
    cause: 'In stream ordering each of them costs an event its place, and with it the order.',
    fix: `Let the relay be the only writer of '${name}', or set POSTCOMMIT_ORDERING=key (order per key, beside other writers).`,
  });
}

/** NATS flushes to disk every two minutes unless told otherwise (sync_interval). */
const UNFLUSHED_MS = 120_000;

export const streamRetention = onStreams(
  {
    name: 'stream-retention',
    about: 'how long the stream keeps events, against POSTCOMMIT_RETENTION, and whether it keeps them at all',
  },
  async ({ state, link, around }) => {
    const remarks = [
      ...(await interestFaults({ state, link })),
      ...ageFaults(state, around.options.retentionMs),
    ];
    return remarks.length > 0
      ? remarks
      : ok(
          `${state.retention} retention, ${state.maxAgeMs > 0 ? `for ${durationText(state.maxAgeMs)}` : 'without an age'}`,
        );
  },
);

async function interestFaults({ state, link }: Pick<StreamScene, 'state' | 'link'>): Promise<Remark[]> {
  if (state.retention !== 'interest') return [];
  const facts = await lookUpStreamFacts(link, state.name);
  if (facts === undefined || facts.consumers > 0) return [];
  return [
    problem({
      found: `stream '${state.name}' keeps messages only for its consumers (interest retention), and has none`,
      cause: 'Every event is acknowledged, and dropped at once.',
      fix: `Start the consumer first (its durable has to be there), or make the stream with limits retention, which keeps events for those to come.`,
    }),
  ];
}

function ageFaults({ name, maxAgeMs }: StreamState, retentionMs: number): Remark[] {
  const remarks: Remark[] = [];
  if (maxAgeMs > 0 && maxAgeMs < retentionMs)
    remarks.push(
      warning({
        found: `stream '${name}' forgets events after ${durationText(maxAgeMs)}, and the outbox keeps them for ${durationText(retentionMs)}`,
        cause:
          'A consumer that is away for longer misses events. They are in the outbox, and come back by a replay only.',
        fix: `nats stream edit ${shellWord(name)} --max-age ${durationFlag(retentionMs)}; or lower POSTCOMMIT_RETENTION.`,
      }),
    );
  if (retentionMs < UNFLUSHED_MS)
    remarks.push(
      warning({
        found: `the outbox keeps stored events for ${durationText(retentionMs)} (POSTCOMMIT_RETENTION)`,
        cause: `NATS flushes to disk every ${durationText(UNFLUSHED_MS)}: what a power loss takes from the stream is published again only as long as the outbox has it.`,
        fix: 'POSTCOMMIT_RETENTION=24h',
      }),
    );
  return remarks;
}
