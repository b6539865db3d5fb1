import type { StoredEvent } from '../../event.ts';
import { type CloudEventHeaders, headerFault, type StreamState } from '../../jetstream/index.ts';

/** Upper bound of what the relay's own headers add to a message. */
export const OWN_HEADERS_BYTES = 1_024;

/** The same of those that make it a CloudEvent, with key, type and source as long as they may be. */
export const CLOUD_EVENT_BYTES = 5_120;

/** JetStream counts the headers of a message in sixteen bits, whatever the limits of server and stream. */
const MAX_HEADERS_BYTES = 65_535;

export interface Limits {
  readonly stream: StreamState;
  /** Of the server, for headers and payload. */
  readonly maxPayload: number;
  /** Undefined where messages are no CloudEvents. */
  readonly cloudEvents?: CloudEventHeaders | undefined;
}

/** Why this stream, as it is now, can never store this event; undefined if it can. Found before it gets a slot. */
export function storageFault(
  event: StoredEvent,
  { stream, maxPayload, cloudEvents }: Limits,
): string | undefined {
  const headersBytes = headersSize(event) + (cloudEvents?.sizeOf(event) ?? 0);
  if (headersBytes > MAX_HEADERS_BYTES)
    return `its headers have about ${headersBytes} bytes, and JetStream takes ${MAX_HEADERS_BYTES}`;
  const size = event.payload.length + headersBytes;
  const limit = stream.maxMessageSize > 0 ? Math.min(stream.maxMessageSize, maxPayload) : maxPayload;
  if (size > limit)
    return `it has about ${size} bytes, and the stream takes ${limit}: raise max_payload of the server or max_msg_size of stream '${stream.name}', then retry it`;
  const bad = headerFault(event);
  return bad === undefined ? undefined : `it cannot be sent: ${bad}`;
}

function headersSize({ headers, key, type }: StoredEvent): number {
  let size = OWN_HEADERS_BYTES;
  if (key !== null) size += Buffer.byteLength(key);
  if (type !== null) size += Buffer.byteLength(type);
  if (headers !== null)
    for (const [name, value] of Object.entries(headers)) size += name.length + Buffer.byteLength(value) + 4;
  return size;
}
