import { countDeadLettersByOrigin, type LetterCount } from '../../dead-letters/count.ts';
import { isLed, whoLeads } from '../../lease/who-leads.ts';
import { countText, durationText } from '../../quantities.ts';
import { MAX_DEAD_LETTERS } from '../../relay/options.ts';
import { onPostgres } from '../check.ts';
import { ok, problem, type Remark, warning } from '../finding.ts';
import { shellWord } from '../quoting.ts';

export const relayLeader = onPostgres(
  { name: 'relay-leader', about: 'whether a relay leads, and another stands by' },
  async (session) => {
    const leadership = await whoLeads(session);
    const { epoch, leader, expiresInMs, standbys } = leadership;
    if (isLed(leadership)) {
      const others =
        standbys.length === 0 ? 'no standby is to be seen' : `standing by: ${standbys.join(', ')}`;
      return ok(`${leader} leads, epoch ${epoch}; ${others}`);
    }
    if (epoch === 0)
      return warning({
        found: 'no relay has led yet',
        cause: 'None was started on this database, or none got as far: events wait in the outbox.',
        fix: 'postcommit relay',
      });
    if (leader === null)
      return problem({
        found: 'no relay leads: the last one was stopped',
        cause: 'It was stopped in order, and no standby took over: events wait in the outbox.',
        fix: 'postcommit relay',
      });
    return problem({
      found: `no relay leads: the lease of ${leader} ran out ${durationText(-(expiresInMs ?? 0))} ago`,
      cause: 'It was killed, hangs, or lost PostgreSQL, and no standby took over: events wait in the outbox.',
      fix: 'postcommit relay (its log says term-failed with the reason, where it runs and cannot lead)',
    });
  },
);

export const deadLetters = onPostgres(
  { name: 'dead-letters', about: 'events that were set aside and await a decision' },
  async (session) => {
    const counts = await countDeadLettersByOrigin(session);
    return counts.length === 0 ? ok('none awaits a decision') : counts.map(describe);
  },
);

function describe({ stream, consumer, letters, reason }: LetterCount): Remark {
  const whose = consumer === null ? 'the relay' : `the consumer '${consumer}'`;
  const filter = consumer === null ? `--stream ${shellWord(stream)}` : `--consumer ${shellWord(consumer)}`;
  const fault = {
    found: `${countText(letters)} of ${whose} await a decision`,
    cause: `The newest: ${reason}`,
    fix: `postcommit dead-letters list ${filter}; then retry or discard them: postcommit dead-letters retry ${filter}`,
  };
  if (consumer !== null || letters < MAX_DEAD_LETTERS) return { ...warning(fault), stream };
  const cause = `${fault.cause}. A lane with ${countText(MAX_DEAD_LETTERS)} of them pauses.`;
  return { ...problem({ ...fault, cause }), stream };
}
