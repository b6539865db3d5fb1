import { isObject, requestApi } from './api.ts';
import type { BrokerLink } from './connection.ts';
import { HEADER } from './headers.ts';
import { headerValue } from './read-back.ts';

/** A message of a stream, without what it carries. */
export interface StoredMessage {
  readonly sequence: number;
  readonly subject: string;
  readonly storedAtMs: number;
  /** Of an event of ours; null for another publisher's message, and for a marker. */
  readonly eventId: string | null;
  readonly position: number | null;
}

/** The message at a sequence, or of a subject the first one from there on; undefined if it is not to be had, for whatever reason. */
export async function storedMessage(
  link: BrokerLink,
  { stream, sequence, subject: wanted }: { stream: string; sequence: number; subject?: string },
): Promise<StoredMessage | undefined> {
  const body = wanted === undefined ? { seq: sequence } : { seq: sequence, next_by_subj: wanted };
  const answer = await requestApi(link, `STREAM.MSG.GET.${stream}`, { body, timeoutMs: 2_000 });
  if (answer.kind !== 'answer' || !isObject(answer.body.message)) return undefined;
  const { subject, seq, time, hdrs } = answer.body.message;
  const storedAtMs = Date.parse(String(time));
  if (typeof subject !== 'string' || Number.isNaN(storedAtMs)) return undefined;
  const headers = typeof hdrs === 'string' ? Buffer.from(hdrs, 'base64').toString('latin1') : '';
  const position = headerValue(headers, HEADER.position);
  return {
    sequence: typeof seq === 'number' ? seq : sequence,
    subject,
    storedAtMs,
    eventId: headerValue(headers, HEADER.eventId),
    position: position === null || !/^-?\d{1,16}$/.test(position) ? null : Number(position),
  };
}
