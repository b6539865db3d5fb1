import { lastRows } from '../batch-log/recover.ts';
import { type Answer, type Asked, type Handler, json } from '../daemon/http-server.ts';
import { checkSubjectPattern } from '../jetstream/index.ts';
import { type EventLook, lookAtEvents } from '../observe/events.ts';
import { lookAtBroker } from '../observe/system.ts';
import { lookAtTimeline } from '../observe/timeline.ts';
import type { OutboxQuery } from '../outbox/recent.ts';
import type { ConsoleContext } from './console.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const PAGE = 50;

/** Events of the outbox, newest first. */
export function eventsHandler(context: ConsoleContext): Handler {
  return async (asked) => {
    const query = queryOf(asked);
    if ('fault' in query) return json(400, { error: query.fault });
    const look = await lookOf(context);
    if ('reason' in look) return unavailable(look.reason);
    const page = await lookAtEvents(look, query);
    return page.kind === 'seen' ? json(200, page.value) : unavailable(page.reason);
  };
}

/** What became of one event. */
export function eventHandler(context: ConsoleContext): Handler {
  return async ({ query }) => {
    const position = Number(query.get('position'));
    if (!Number.isSafeInteger(position)) return json(400, { error: '`position` must be a whole number' });
    const look = await lookOf(context);
    if ('reason' in look) return unavailable(look.reason);
    const timeline = await lookAtTimeline(look, position);
    if (timeline.kind !== 'seen') return unavailable(timeline.reason);
    if (timeline.value === undefined)
      return json(404, { error: `position ${position} is neither in the outbox nor in its log any more` });
    return json(200, timeline.value);
  };
}

/** As things are now: of an event that is just being published, two seconds ago say nothing. */
async function lookOf({ connections }: ConsoleContext): Promise<EventLook | { reason: string }> {
  const lanes = await connections.database(lastRows);
  if (lanes.kind !== 'seen') return { reason: lanes.reason };
  const streams = lanes.value.map(({ stream }) => stream);
  return { connections, lanes: lanes.value, broker: await lookAtBroker(connections, streams) };
}

function queryOf({ query }: Asked): OutboxQuery | { fault: string } {
  const text = (name: string) => query.get(name) || undefined;
  const subject = text('subject');
  const fault = subject === undefined ? undefined : faultOf(subject);
  if (fault !== undefined) return { fault: `\`subject\`: ${fault}` };
  const eventId = text('id');
  if (eventId !== undefined && !UUID.test(eventId)) return { fault: '`id` must be a UUID' };
  const before = text('before') === undefined ? undefined : Number(text('before'));
  if (before !== undefined && !Number.isSafeInteger(before))
    return { fault: '`before` must be a whole number' };
  return {
    before,
    subject,
    key: text('key'),
    type: text('type'),
    eventId: eventId?.toLowerCase(),
    limit: PAGE,
  };
}

function faultOf(subject: string): string | undefined {
  return subject.length > 255 ? 'it is longer than any subject' : checkSubjectPattern(subject);
}

export function unavailable(reason: string): Answer {
  return json(503, { error: `the database cannot be looked at: ${reason}` });
}
