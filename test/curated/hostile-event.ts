import type { Candidate } from '../generated/event-arbitrary.ts';

/** `carried` byte for byte, or refused in words that name the field and the reason. */
export type Verdict = 'carried' | RegExp;

/** One hostile field in an event that has nothing else wrong with it. */
export interface HostileEvent {
  /** What is hostile about it. */
  readonly about: string;
  readonly event: HostileFields;
  readonly verdict: Verdict;
  /** Only a JavaScript program can hand it over, or only there it is no matter of PostgreSQL's own. */
  readonly only?: 'script';
}

/** As for enqueue(), but of any type; what is left out is harmless. */
export interface HostileFields {
  readonly subject?: unknown;
  readonly key?: unknown;
  readonly type?: unknown;
  readonly headers?: unknown;
  readonly eventId?: unknown;
  readonly payload?: unknown;
}

const HARMLESS = { subject: 'curated.event', payload: Buffer.from('harmless') };

export function toCandidate({ event }: HostileEvent): Candidate {
  const { payload, ...fields } = { ...HARMLESS, ...event };
  return {
    ...fields,
    payload:
      payload instanceof Uint8Array ? { kind: 'bytes', bytes: payload } : { kind: 'json', value: payload },
  } as Candidate;
}

export function titleOf({ about, verdict }: HostileEvent): string {
  return `${verdict === 'carried' ? 'carried' : 'refused'}: ${about}`;
}
