import { ACK_TIMEOUT_MS, type StreamState } from '../../jetstream/index.ts';
import { readMaxPayload } from '../../migrate/database-state.ts';
import { bytesText, countText, durationText, shareText } from '../../quantities.ts';
import { CLOUD_EVENT_BYTES, OWN_HEADERS_BYTES } from '../../relay/lane/acceptable.ts';
import { eachLane, onNats, onStreams, WITHOUT_POSTGRES } from '../check.ts';
import { ok, problem, type Remark, unseen, warning } from '../finding.ts';
import { shellWord } from '../quoting.ts';
import type { LaneSettings } from '../surroundings.ts';

export const streamDiscard = onStreams(
  {
    name: 'stream-discard',
    about: 'what a full stream does: refuse (new), or drop its oldest messages (old)',
  },
  async ({ state }) => {
    const { name, discard } = state;
    if (discard === 'new') return ok('a full stream refuses, and the relay waits');
    const limits = limitsOf(state);
    if (limits.length === 0) return ok('discard: old, on a stream without limits');
    return warning({
      found: `stream '${name}' drops its oldest messages when it is full (discard: old, ${limits.map(({ text }) => text).join(', ')})`,
      cause: 'A consumer that is slow or away loses events, and nobody is told.',
      fix: `nats stream edit ${shellWord(name)} --discard new: a full stream refuses then, and the relay waits. Or take the limits away.`,
    });
  },
);

const NEARLY = 0.8;
const FULL = 0.98;

export const streamLimits = onStreams(
  { name: 'stream-limits', about: 'how full the stream is, and whether it drops messages by subject' },
  async ({ state }) => {
    const remarks = [...perSubjectFaults(state), ...(state.discard === 'new' ? fullnessFaults(state) : [])];
    if (remarks.length > 0) return remarks;
    const limits = limitsOf(state);
    return ok(
      limits.length === 0
        ? 'no limits'
        : limits.map(({ text, used }) => `${shareText(used)} of ${text}`).join(', '),
    );
  },
);

function fullnessFaults(state: StreamState): Remark[] {
  return limitsOf(state)
    .filter(({ used }) => used >= NEARLY)
    .map(({ flag, text, used }) => {
      const fault = {
        found: `stream '${state.name}' is ${shareText(used)} full (${text})`,
        cause: 'A full stream refuses every message: the lane waits, and the outbox grows.',
        fix: `Raise the limit: nats stream edit ${shellWord(state.name)} ${flag}=<more>; or delete what nobody needs: nats stream purge ${shellWord(state.name)} --keep=<number>`,
      };
      return used >= FULL ? problem(fault) : warning(fault);
    });
}

function perSubjectFaults({ name, maxMessagesPerSubject }: StreamState): Remark[] {
  if (maxMessagesPerSubject <= 0) return [];
  return [
    warning({
      found: `stream '${name}' keeps ${countText(maxMessagesPerSubject)} messages of a subject (max_msgs_per_subject)`,
      cause: 'A newer event of a subject pushes an older one out, also one that a consumer has not seen.',
      fix: `nats stream edit ${shellWord(name)} --max-msgs-per-subject=-1; or leave it, if only the newest of each subject count.`,
    }),
  ];
}

function limitsOf({ maxMessages, messages, maxBytes, bytes }: StreamState) {
  return [
    {
      flag: '--max-msgs',
      limit: maxMessages,
      used: messages / maxMessages,
      text: `max_msgs ${countText(maxMessages)}`,
    },
    {
      flag: '--max-bytes',
      limit: maxBytes,
      used: bytes / maxBytes,
      text: `max_bytes ${bytesText(maxBytes)}`,
    },
  ].filter(({ limit }) => limit > 0);
}

/** As NATS has it by default. */
const USUAL_WINDOW_MS = 120_000;

export const streamDuplicateWindow = onStreams(
  { name: 'stream-duplicate-window', about: 'whether the duplicate window fits the ordering of the lane' },
  async ({ state, lane }) => judgeWindow(state, lane),
);

function judgeWindow({ name, duplicateWindowMs: windowMs }: StreamState, { ordering }: LaneSettings): Remark {
  const window = durationText(windowMs);
  if (ordering === 'stream' && windowMs > USUAL_WINDOW_MS)
    return warning({
      found: `stream '${name}' remembers message ids for ${window}`,
      cause:
        'Each takes about 350 bytes of memory for so long, and stream ordering needs none of them: the sequence protects an event.',
      fix: `nats stream edit ${shellWord(name)} --dupe-window 30s`,
    });
  // A repeat must come within half of it, and not before the answer to the first is overdue.
  if (ordering !== 'stream' && windowMs / 2 <= ACK_TIMEOUT_MS)
    return warning({
      found: `stream '${name}' remembers message ids for ${window} only`,
      cause: `In ${ordering} ordering an event may be sent again after ${durationText(ACK_TIMEOUT_MS)}, and beyond half of the window the stream has to be searched first; what is under way for longer may be stored twice.`,
      fix: `nats stream edit ${shellWord(name)} --dupe-window 2m`,
    });
  return ok(`${window}, in ${ordering} ordering`);
}

/** What the outbox lets key and type have. */
const KEY_AND_TYPE_BYTES = 2 * 512;
/** Of a message, beside what the outbox counts. */
const OVERHEAD_BYTES = OWN_HEADERS_BYTES + KEY_AND_TYPE_BYTES;

export const maxPayload = onNats(
  {
    name: 'max-payload',
    about: 'whether server and stream take what the outbox lets in (postcommit migrate --max-payload)',
  },
  async (link, around) => {
    const postgres = await around.postgres();
    if (postgres.kind === 'absent') return unseen(WITHOUT_POSTGRES);
    const allowed = await readMaxPayload(postgres.connection);
    if (allowed === null) return unseen('the outbox has no limit yet: see the check migrations');
    const overhead = OVERHEAD_BYTES + (around.options.cloudEvents === 'binary' ? CLOUD_EVENT_BYTES : 0);
    return eachLane(around, async ({ stream }) => {
      const lookup = await around.stream(link, stream);
      const own = lookup.kind === 'found' ? lookup.state.maxMessageSize : -1;
      return judgePayload(allowed, { stream, server: link.maxPayload, own, overhead });
    });
  },
);

function judgePayload(
  allowed: number,
  { stream, server, own, overhead }: { stream: string; server: number; own: number; overhead: number },
): Remark {
  const limit = own > 0 ? Math.min(own, server) : server;
  const needed = allowed + overhead;
  if (needed <= limit)
    return ok(`the outbox takes ${countText(allowed)} bytes, and the stream ${countText(limit)}`);
  const ofStream = own > 0 && own <= server;
  const fault = {
    found: `the outbox takes events of ${countText(allowed)} bytes, and ${ofStream ? `stream '${stream}' messages of ${countText(own)} (max_msg_size)` : `the server messages of ${countText(server)} (max_payload)`}`,
    cause: `With the headers of the relay such an event needs up to ${countText(needed)} bytes: one that does not fit becomes a dead letter.`,
    fix: ofStream
      ? `nats stream edit ${shellWord(stream)} --max-msg-size=-1; or: postcommit migrate --max-payload ${Math.max(1, limit - overhead)}`
      : `Set max_payload: ${needed} in the configuration of nats-server; or: postcommit migrate --max-payload ${Math.max(1, limit - overhead)}`,
  };
  return allowed > limit ? problem(fault) : warning(fault);
}
