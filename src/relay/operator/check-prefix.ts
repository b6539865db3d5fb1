import { isSubject } from '../../outbox/event-rules.ts';
import { subjectUnder } from '../lane/planned-message.ts';
import type { ChosenEvent } from './chosen-events.ts';
import { answered } from './handling.ts';
import type { Replaying, Step } from './replay.ts';
import type { Progress } from './replay-progress.ts';

/** Pages between two notes of how far it is. */
const PAGES_AT_ONCE = 20;

/**
 * Before the first copy is published: may all of them be, under this prefix? A part of the way; the answer that says no
 * ends the replay.
 */
export async function checkPrefix({ context, wish, events }: Replaying, progress: Progress): Promise<Step> {
  const { subjectPrefix: prefix = '' } = wish;
  const { end } = progress;
  let checked = Math.max(progress.checked, events.start);
  for (let pages = 0; pages < PAGES_AT_ONCE; pages++) {
    const page = await events.page({ above: checked, end });
    for (const event of page.events) {
      const fault = prefixFault(event, prefix, (subject) => context.router(subject) >= 0);
      if (fault !== undefined) return answered({ error: fault });
    }
    checked = page.last ? end : page.lookedTo;
    if (page.last) break;
  }
  return { kind: 'went-on', progress: { ...progress, checked } };
}

function prefixFault(
  { position, subject, dead, stream }: ChosenEvent,
  prefix: string,
  isTaken: (subject: string) => boolean,
): string | undefined {
  if (dead || stream === undefined) return undefined;
  const under = subjectUnder(prefix, subject);
  if (!isSubject(under))
    return `under the prefix the subject of the event at position ${position} has ${Buffer.byteLength(under)} bytes, and 255 are allowed; nothing was published. Take a shorter one`;
  if (isTaken(under)) return undefined;
  return `no lane takes '${under}', of the event at position ${position}; nothing was published. Add '${prefix}.>' to POSTCOMMIT_SUBJECTS (or a lane for it) and to the stream's subjects, and restart the relay`;
}
