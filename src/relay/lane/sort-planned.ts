import type { StoredEvent } from '../../event.ts';
import { type StreamState, subjectMatches } from '../../jetstream/index.ts';
import type { OutletContext } from './outlet.ts';
import { type PlannedMessage, underPrefix } from './planned-message.ts';

/** What becomes of messages that were planned and have to be sent again. */
export interface SortedMessages<Message> {
  /** With what is sent for them. */
  readonly sent: readonly (readonly [Message, StoredEvent])[];
  /** Events that go to another lane. */
  readonly moved: readonly StoredEvent[];
  /** Copies that are given up: their content is gone, or the stream does not take them any more. */
  readonly dropped: readonly Message[];
  /** The first event of which the outbox has no content any more. */
  readonly lost: Message | undefined;
}

export function sortPlanned<Message extends PlannedMessage>(
  { isElsewhere }: Pick<OutletContext, 'isElsewhere'>,
  options: {
    readonly planned: readonly Message[];
    /** By position, under their own subjects. */
    readonly events: ReadonlyMap<number, StoredEvent>;
    readonly stream: StreamState | undefined;
  },
): SortedMessages<Message> {
  const { planned, events, stream } = options;
  const isTaken = ({ subject }: StoredEvent) =>
    stream === undefined || stream.subjects.some((pattern) => subjectMatches(pattern, subject));
  const sent: [Message, StoredEvent][] = [];
  const moved = new Map<number, StoredEvent>();
  const dropped: Message[] = [];
  let lost: Message | undefined;
  for (const message of planned) {
    const { position, replay, prefix } = message;
    const stored = events.get(position);
    const event = stored && underPrefix(stored, prefix);
    if (event === undefined) {
      if (replay) dropped.push(message);
      else lost ??= message;
    } else if (isTaken(event)) sent.push([message, event]);
    // What another lane would be handed is the event, under its own subject.
    else if (prefix !== null) dropped.push(message);
    // No packet of it that is still under way can be stored here.
    else if (isElsewhere(event.subject)) moved.set(position, event);
    else sent.push([message, event]);
  }
  return { sent, moved: [...moved.values()], dropped, lost };
}
