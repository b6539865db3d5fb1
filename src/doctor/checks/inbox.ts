import { INBOX_RETENTION_MS } from '../../consumer/options.ts';
import { type InboxExtent, inboxExtents, remembers } from '../../inbox/overview.ts';
import {
  type BrokerLink,
  type DurableView,
  readBack,
  type StreamState,
  subjectMatches,
} from '../../jetstream/index.ts';
import type { Session } from '../../postgres/session.ts';
import { counted, durationText } from '../../quantities.ts';
import { onPostgres, WITHOUT_NATS } from '../check.ts';
import { ok, problem, type Remark, unseen, warning } from '../finding.ts';
import { sqlText } from '../quoting.ts';
import type { Surroundings } from '../surroundings.ts';

/** Rows that could go for so long are pruned by nobody. */
const UNPRUNED_AFTER_MS = 2 * INBOX_RETENTION_MS;
/** Of the stream's oldest messages, until one is found that the consumer has acknowledged. */
const LOOK_AT = 16;

export const inboxRetention = onPostgres(
  {
    name: 'inbox-retention',
    about: 'whether the inbox still knows what a stream can deliver again, and is pruned of the rest',
  },
  async (session, around) => {
    const extents = (await inboxExtents(session)).filter(({ stream }) => stream !== null);
    if (extents.length === 0) return ok('no consumer keeps its inbox in this database');
    const remarks = retentionFaults(around);
    const nats = await around.nats();
    if (nats.kind === 'absent') return [...remarks, unseen(WITHOUT_NATS)];
    for (const extent of extents) remarks.push(...(await look(session, nats.connection, { extent, around })));
    return remarks.length > 0
      ? remarks
      : ok(`what ${counted(extents.length, 'consumer')} may see again is remembered`);
  },
);

function retentionFaults({ options: { retentionMs } }: Surroundings): Remark[] {
  if (retentionMs <= INBOX_RETENTION_MS) return [];
  return [
    warning({
      found: `events can be replayed for ${durationText(retentionMs)} (POSTCOMMIT_RETENTION), and inboxes remember for ${durationText(INBOX_RETENTION_MS)} by default`,
      cause: 'An event that is replayed after its inbox row was pruned has a second effect.',
      fix: `Give consume() inboxRetentionMs: ${retentionMs} or more, or lower POSTCOMMIT_RETENTION.`,
    }),
  ];
}

interface Subject {
  readonly extent: InboxExtent;
  readonly around: Surroundings;
}

async function look(session: Session, link: BrokerLink, { extent, around }: Subject): Promise<Remark[]> {
  const stream = String(extent.stream);
  const lookup = await around.stream(link, stream);
  if (lookup.kind !== 'found') return [];
  const remarks = unprunedFaults(extent, lookup.state);
  const durables = await around.durables(link, stream);
  if (durables.kind === 'unavailable')
    return [
      ...remarks,
      {
        ...unseen(
          `whether '${extent.consumer}' remembers what it may see again: ${durables.reason}`,
          `Permit the user to publish to '$JS.API.CONSUMER.LIST.${stream}'.`,
        ),
        stream,
      },
    ];
  const durable = durables.durables.find(({ name }) => name === extent.consumer);
  const forgotten =
    durable === undefined ? undefined : await firstForgotten(session, link, { durable, state: lookup.state });
  if (forgotten !== undefined) remarks.push({ ...forgottenFault(extent, forgotten), stream });
  return remarks;
}

/** Below the stream's first message, and long past the time that an inbox remembers by default. */
function unprunedFaults(
  { consumer, stream, lowest, oldestAgeMs }: InboxExtent,
  { firstSequence }: StreamState,
): Remark[] {
  if (lowest === null || lowest >= firstSequence || oldestAgeMs <= UNPRUNED_AFTER_MS) return [];
  const fault = warning({
    found: `the inbox of '${consumer}' is not pruned: it remembers events from ${durationText(oldestAgeMs)} ago, which the stream no longer holds`,
    cause:
      'Nobody prunes it: no instance of the consumer runs, or it is not consume(). (Where inboxRetentionMs says so it is meant to be.)',
    fix: `SELECT postcommit.inbox_prune(${sqlText(consumer)}, ${sqlText(String(stream))}, ${firstSequence}); again until it returns 0`,
  });
  return [{ ...fault, stream: String(stream) }];
}

function forgottenFault({ consumer }: InboxExtent, sequence: number): Remark {
  return problem({
    found: `the inbox of '${consumer}' has forgotten events that the stream still holds, that at sequence ${sequence} for one`,
    cause:
      'Rows were deleted by hand or by age alone: a redelivery, or a durable that is made anew, has a second effect.',
    fix: `Prune by the stream's first sequence only: SELECT postcommit.inbox_prune(consumer, stream, first_sequence). Do not delete the durable '${consumer}' or start it over.`,
  });
}

/** The first message that the durable has acknowledged, and that the stream still holds, if the inbox does not know it. */
async function firstForgotten(
  session: Session,
  link: BrokerLink,
  { durable, state }: { durable: DurableView; state: StreamState },
): Promise<number | undefined> {
  if (!durable.fromTheStart) return undefined;
  const from = Math.max(1, state.firstSequence);
  const to = Math.min(durable.ackFloor, state.lastSequence, from + LOOK_AT - 1);
  for (const message of await readBack(link, { stream: state.name, from, to })) {
    if (message.kind === 'gone' || message.skipped !== null || message.eventId === null) continue;
    const wanted =
      durable.subjects.length === 0 || durable.subjects.some((one) => subjectMatches(one, message.subject));
    if (!wanted) continue;
    return (await remembers(session, durable.name, message.eventId)) ? undefined : message.sequence;
  }
  return undefined;
}
