import type { StoredEvent } from '../event.ts';
import { headerFault, type StreamState, subjectMatches } from '../jetstream/index.ts';
import type { Pause } from './lane-state.ts';
import type { LaneOptions } from './options.ts';

/** Upper bound of what the relay's own headers add to a message. */
const OWN_HEADERS_BYTES = 1_024;

export interface Limits {
  readonly lane: LaneOptions;
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

function fault(event: StoredEvent, { lane, stream, maxPayload }: Limits): Pause | undefined {
  const name = `event ${event.eventId} at position ${event.position}`;
  if (!lane.subjects.some((pattern) => subjectMatches(pattern, event.subject))) {
    return {
      outcome: 'misrouted',
      reason: `${name} has the subject '${event.subject}', which no lane takes (${lane.subjects.join(', ')}): add it to POSTCOMMIT_SUBJECTS and to the stream's subjects, and restart the relay`,
    };
  }
  const size = event.payload.length + headersSize(event);
  const limit = stream.maxMessageSize > 0 ? Math.min(stream.maxMessageSize, maxPayload) : maxPayload;
  if (size > limit) {
    return {
      outcome: 'refused',
      reason: `${name} has about ${size} bytes, and the stream takes ${limit}: raise max_payload of the server or max_msg_size of stream '${stream.name}'`,
    };
  }
  const bad = headerFault(event);
  return bad === undefined ? undefined : { outcome: 'refused', reason: `${name} cannot be sent: ${bad}` };
}

function headersSize({ headers, key, type }: StoredEvent): number {
  let size = OWN_HEADERS_BYTES + Buffer.byteLength(key ?? '') + Buffer.byteLength(type ?? '');
  for (const [name, value] of Object.entries(headers ?? {}))
    size += name.length + Buffer.byteLength(value) + 4;
  return size;
}
