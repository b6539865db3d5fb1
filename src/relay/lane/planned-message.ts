import type { StoredEvent } from '../../event.ts';

/** Which message of an event is meant: its own, or a copy. */
export interface PlannedMessage {
  readonly position: number;
  /** A further copy of an event that was published before. */
  readonly replay: boolean;
  /** Of a copy that goes to `<prefix>.<subject of the event>`; null: to the subject itself. */
  readonly prefix: string | null;
}

/**
 * Tells the messages of a stream apart that stand for an event. Copies under its own subject and the event itself are
 * alike; one under a prefix is another message, and neither stands for the other.
 */
export type MessageName = number | string;

export function nameOf({ position, prefix }: Pick<PlannedMessage, 'position' | 'prefix'>): MessageName {
  return prefix === null ? position : `${position} ${prefix}`;
}

/** What is published for an event: nothing but its subject changes. */
export function underPrefix(event: StoredEvent, prefix: string | null): StoredEvent {
  if (prefix === null) return event;
  return { ...event, subject: subjectUnder(prefix, event.subject), ownSubject: event.subject };
}

export function subjectUnder(prefix: string, subject: string): string {
  return `${prefix}.${subject}`;
}

/** Messages with the same prefix together, those without first. */
export function byPrefix<Message extends Pick<PlannedMessage, 'prefix'>>(
  messages: readonly Message[],
): [prefix: string | null, messages: Message[]][] {
  const groups = new Map<string | null, Message[]>();
  for (const message of messages) {
    const group = groups.get(message.prefix);
    if (group === undefined) groups.set(message.prefix, [message]);
    else group.push(message);
  }
  return [...groups].sort(([a], [b]) => (a ?? '').localeCompare(b ?? ''));
}
