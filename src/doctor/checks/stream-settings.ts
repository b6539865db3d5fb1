import { type BrokerLink, lookUpStreamFacts, streamsCapturing } from '../../jetstream/index.ts';
import { eachLane, onNats, onStreams } from '../check.ts';
import { ok, problem, type Remark, unseen, warning } from '../finding.ts';
import { shellWord } from '../quoting.ts';
import type { LaneSettings } from '../surroundings.ts';
import { unfitFor } from './unfit.ts';

export const streamSubjects = onNats(
  {
    name: 'stream-subjects',
    about:
      'whether the stream captures the subjects of its lane; of one that is to be made, whether another has them',
  },
  (link, around) =>
    eachLane(around, async (lane) => {
      const lookup = await around.stream(link, lane.stream);
      if (lookup.kind === 'missing' && around.options.provision) return whoHasThem(link, lane);
      if (lookup.kind !== 'found') return unseen('there is no stream to look at: see the check stream');
      const faults = unfitFor(lookup.state, lane, ['subjects']);
      return faults.length > 0 ? faults : ok(`it captures ${quotedList(lane.subjects)}`);
    }),
);

/** A stream that is to be created must not meet another one on its subjects. */
async function whoHasThem(link: BrokerLink, { stream, subjects }: LaneSettings): Promise<Remark> {
  for (const subject of subjects) {
    const streams = await streamsCapturing(link, subject);
    if (streams === undefined)
      return unseen(
        `whether another stream has ${quotedList(subjects)} is hidden from this user`,
        "Permit it to publish to '$JS.API.STREAM.NAMES'.",
      );
    const [other] = streams;
    if (other !== undefined)
      return problem({
        found: `stream '${other}' captures '${subject}' already, so that '${stream}' cannot be created`,
        cause: 'Two streams cannot have the same subject.',
        fix: `Name that stream, if the relay may be its only writer: POSTCOMMIT_STREAM=${other}; or choose other subjects (POSTCOMMIT_SUBJECTS).`,
      });
  }
  return ok(`no other stream has ${quotedList(subjects)}`);
}

export const streamStorage = onStreams(
  { name: 'stream-storage', about: 'whether the stream lies on disk' },
  async ({ state: { name, storage, replicas } }) => {
    if (storage === 'file') return ok('on disk');
    return problem({
      found: `stream '${name}' lies in memory`,
      cause: `When ${replicas > 1 ? 'all of its servers restart' : 'its server restarts'}, the stream and its events are gone.`,
      fix: `The storage is fixed when a stream is made. When its consumers have caught up: nats stream rm ${shellWord(name)}, and then postcommit adopt --stream ${shellWord(name)}, which makes it anew, on disk.`,
    });
  },
);

export const streamReplicas = onStreams(
  { name: 'stream-replicas', about: 'whether the stream outlives the loss of a server' },
  async ({ state: { name, replicas }, link }) => {
    const edit = `nats stream edit ${shellWord(name)} --replicas 3`;
    if (replicas < 2 && link.connection.info?.cluster !== undefined)
      return warning({
        found: `stream '${name}' has one copy, in a cluster`,
        cause:
          'It is down while its server is, and gone with its disk. (A stream that the relay makes has one copy.)',
        fix: edit,
      });
    if (replicas === 2)
      return warning({
        found: `stream '${name}' has two copies`,
        cause: 'Both are needed for a majority: it is down while either server is.',
        fix: edit,
      });
    return judgeCopies(link, name, replicas);
  },
);

async function judgeCopies(link: BrokerLink, stream: string, replicas: number): Promise<Remark> {
  const followers = (await lookUpStreamFacts(link, stream))?.followers ?? [];
  const behind = followers.filter(({ current, offline }) => offline || !current);
  if (behind.length > 0)
    return warning({
      found: `${behind.length} of ${replicas} copies are not current: ${behind.map(({ name, offline }) => (offline ? `${name} (offline)` : name)).join(', ')}`,
      cause: 'A server is down or catching up. Without a majority of them the stream takes nothing.',
      fix: `Start the server, and look at: nats stream info ${shellWord(stream)}`,
    });
  return ok(replicas < 2 ? 'one copy, on a server that has no cluster' : `${replicas} copies, all current`);
}

export const streamNoAck = onStreams(
  { name: 'stream-no-ack', about: 'whether the stream acknowledges what it stores' },
  async ({ state, lane }) => {
    const faults = unfitFor(state, lane, ['no-ack']);
    return faults.length > 0 ? faults : ok('it acknowledges');
  },
);

function quotedList(subjects: readonly string[]): string {
  return subjects.map((subject) => `'${subject}'`).join(', ');
}
