import type { StoredEvent } from '../event.ts';
import { headerFault, type StreamState } from '../jetstream/index.ts';
import type { Pause } from './lane-state.ts';
import type { LaneOptions } from './options.ts';

/** Upper bound of what the relay's own headers add to a message. */
const OWN_HEADERS_BYTES = 1_024;

export interface Limits {
  readonly lane: LaneOptions;
  /** Whether some lane takes a subject. */
  readonly takes: (subject: string) => boolean;
  readonly stream: StreamState;
  /** Of the server, for headers and payload. */
  readonly maxPayload: number;
}

/**
 * Finds, before planning, an event that this stream can never store. A plan is never shortened, so it must not get a
 * slot; until dead letters are written for it, the lane waits for a person.
 */
export function firstUnacceptable(events: readonly StoredEvent[], limits: Limits): Pause | undefined {
  for (const event of events) {
    const pause = fault(event, limits);
    if (pause !== undefined) return pause;
  }
  return undefined;
}

function fault(event: StoredEvent, { lane, takes, stream, maxPayload }: Limits): Pause | undefined {
  if (!takes(event.subject)) {
    return {
      outcome: 'misrouted',
      reason: `${nameOf(event)} has the subject '${event.subject}', which no lane takes (${lane.subjects.join(', ')}): add it to POSTCOMMIT_SUBJECTS and to the stream's subjects, and restart the relay`,
    };
  }
  const size = event.payload.length + headersSize(event);
  const limit = stream.maxMessageSize > 0 ? Math.min(stream.maxMessageSize, maxPayload) : maxPayload;
  if (size > limit) {
    return {
      outcome: 'refused',
      reason: `${nameOf(event)} has about ${size} bytes, and the stream takes ${limit}: raise max_payload of the server or max_msg_size of stream '${stream.name}'`,
    };
  }
  const bad = headerFault(event);
  return bad === undefined
    ? undefined
    : { outcome: 'refused', reason: `${nameOf(event)} cannot be sent: ${bad}` };
}

function nameOf({ eventId, position }: StoredEvent): string {
  return `event ${eventId} at position ${position}`;
}

function headersSize({ headers, key, type }: StoredEvent): number {
  let size = OWN_HEADERS_BYTES;
  if (key !== null) size += Buffer.byteLength(key);
  if (type !== null) size += Buffer.byteLength(type);
  if (headers !== null)
    for (const [name, value] of Object.entries(headers)) size += name.length + Buffer.byteLength(value) + 4;
  return size;
}
