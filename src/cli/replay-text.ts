import { counted, countText } from '../quantities.ts';
import type { ReplayDetail } from '../relay/operator/details.ts';
import type { LeaderAnswer } from '../requests/ask-leader.ts';
import { noAnswer } from './ask-leader.ts';
import type { Followed } from './follow-request.ts';
import type { ProgressState } from './progress-bar.ts';
import type { Place, ReplayCount } from './replay-count.ts';

type Result = Readonly<Record<string, unknown>>;

/** What goes to standard output, and what there is to say about it. */
export interface Description {
  readonly data: readonly string[];
  readonly message?: string | undefined;
}

/** What a dry run says. */
export function describeCount(count: ReplayCount, { subjectPrefix }: ReplayDetail): string[] {
  const { events, from, to, streams, deadLetters, unpublished, gone } = count;
  const lines = [`${counted(events, 'event')} would be published again`];
  if (from !== null && to !== null) lines.push(`  from  ${placeText(from)}`, `  to    ${placeText(to)}`);
  for (const share of streams)
    lines.push(
      `${countText(share.events).padStart(12)}  of stream ${share.stream}, positions ${share.from} to ${share.to}`,
    );
  if (subjectPrefix !== undefined)
    lines.push(
      `on ${subjectPrefix}.<subject>; whether a lane takes these, the relay says before it publishes`,
    );
  if (deadLetters > 0) lines.push(`${countText(deadLetters)} more are dead letters, and left out`);
  if (unpublished > 0) lines.push(`${countText(unpublished)} more were not published yet, and are left out`);
  if ((gone ?? 0) > 0)
    lines.push(
      `${countText(gone ?? 0)} more were at these sequences, and the outbox does not hold them any more`,
    );
  lines.push(outboxText(count));
  return lines;
}

function outboxText({ outboxFrom }: ReplayCount): string {
  if (outboxFrom === null) return 'The outbox is empty.';
  return `The outbox begins at ${placeText(outboxFrom)}: what came before is not there any more.`;
}

function placeText({ position, insertedAt }: Place): string {
  return `position ${position}, inserted ${insertedAt}`;
}

/** What the row of a replay says while it goes on. */
export function progressOf(result: Result, events: number | undefined): ProgressState {
  const count = numberIn(result, 'replayed');
  const unit = 'events';
  if (typeof result.waitsFor === 'string')
    return {
      what: 'replaying',
      count,
      unit,
      total: events,
      note: `the lane of stream '${result.waitsFor}' is paused`,
    };
  const [checked, end] = [numberIn(result, 'checked'), numberIn(result, 'end')];
  if (count === 0 && checked > 0 && checked < end)
    return { what: 'checking', count: checked, unit: 'positions', total: end };
  return { what: 'replaying', count, unit, total: events };
}

/** How it ended, or that it has not. */
export function describeFollowed(end: Followed, request: number): Description {
  switch (end.kind) {
    case 'finished':
      return describeResult(end.result, request);
    case 'unanswered':
      return { data: [], message: `${noAnswer({ request })} ${howToGoOn(request)}` };
    case 'late':
      return {
        data: [publishedText(end.result)],
        message: `Request ${request} is not finished and goes on. ${howToGoOn(request)}`,
      };
    case 'interrupted':
      return {
        data: [],
        message: `Stopped waiting: request ${request} goes on. ${howToGoOn(request)}`,
      };
  }
}

function howToGoOn(request: number): string {
  return `postcommit replay --follow ${request} shows how far it is, postcommit replay --cancel ${request} ends it.`;
}

function describeResult(result: Result, request: number): Description {
  if (typeof result.error === 'string') return { data: [], message: `Not replayed: ${result.error}` };
  const [refused, misrouted] = [numberIn(result, 'refused'), numberIn(result, 'misrouted')];
  const left = [
    ...(result.cancelledBy === undefined
      ? []
      : [`Request ${request} was cancelled by request ${result.cancelledBy}.`]),
    ...(refused > 0
      ? [`${countText(refused)} were left out: the stream does not take them as they are (too large?).`]
      : []),
    ...(misrouted > 0 ? [`${countText(misrouted)} were left out: no lane takes their subjects.`] : []),
  ];
  return { data: [publishedText(result)], message: left.length === 0 ? undefined : left.join('\n') };
}

function publishedText(result: Result): string {
  return `${counted(numberIn(result, 'replayed'), 'event')} published again`;
}

export function describeCancelled(answer: LeaderAnswer, request: number): Description {
  const { result } = answer;
  if (result === null) return { data: [], message: noAnswer(answer) };
  if (typeof result.error === 'string') return { data: [], message: `Not cancelled: ${result.error}` };
  if (result.cancelled !== true) return { data: [], message: `Not cancelled: ${String(result.reason)}` };
  return {
    data: [`Request ${request} is cancelled: ${publishedText(result)} by then`],
  };
}

function numberIn(result: Result, name: string): number {
  const value = result[name];
  return typeof value === 'number' ? value : 0;
}
