import { z } from 'zod';
import { isSubject } from '../../outbox/event-rules.ts';
import type { RequestKind } from '../../requests/requests.ts';

export const selectionDetail = z.strictObject({
  ids: z.array(z.int().positive()).optional(),
  stream: z.string().optional(),
  outcome: z.enum(['refused', 'misrouted', 'moved', 'held']).optional(),
  keys: z.array(z.string()).optional(),
  /** By what way it was asked for: kept with the request, and of no effect. */
  via: z.string().max(200).optional(),
});

const bound = z.int().positive().optional();

/** As UTC, in the years that both clocks know: PostgreSQL has no year 0 and fewer offsets than RFC 3339. */
export const moment = z.iso
  .datetime({ offset: true })
  .transform(toUtc)
  .refine((text) => /^(?!0000)\d{4}-/.test(text), 'the year must be one from 1 to 9999');

/** With the microseconds that `created_at` has, and a Date has not. */
function toUtc(text: string): string {
  const fraction = /\.(\d{1,6})/.exec(text)?.[1] ?? '0';
  return `${new Date(text).toISOString().replace(/\.\d+Z$/, '')}.${fraction}Z`;
}

export const replayDetail = z
  .strictObject({
    /** Positions in the outbox, both included. */
    fromPosition: bound,
    toPosition: bound,
    /** Sequences of this stream, both included. */
    stream: z.string().optional(),
    fromSequence: bound,
    toSequence: bound,
    /** When the event was inserted. */
    since: moment.optional(),
    until: moment.optional(),
    key: z.string().optional(),
    /** Of any of these. */
    keys: z.array(z.string()).min(1).optional(),
    /** A subject, or a pattern with wildcards. */
    subject: z.string().optional(),
    /** The copies go to `<prefix>.<subject>`. */
    subjectPrefix: z
      .string()
      .refine(isSubject, 'it has to be a subject itself, without wildcards')
      .optional(),
    /** Copies a second, at most. */
    rate: z.int().positive().optional(),
    /** As many as whoever asks has counted, for whoever looks on. */
    counted: z.int().nonnegative().optional(),
  })
  .refine(choosesSomething, 'say which events: everything is not replayed by mistake')
  .refine(
    ({ stream, fromSequence, toSequence }) =>
      stream !== undefined || (fromSequence === undefined && toSequence === undefined),
    'sequences are those of a stream: say which',
  );

/** Where they go, and how fast, says nothing of which. */
function choosesSomething(detail: Readonly<Record<string, unknown>>): boolean {
  const { stream: _, subjectPrefix: __, rate: ___, counted: ____, ...choice } = detail;
  return Object.keys(choice).length > 0;
}

export const cancelDetail = z.strictObject({
  /** The number of the replay. */
  request: z.int().positive(),
});

export const adoptDetail = z.strictObject({
  stream: z.string(),
  mode: z.enum(['continue', 'republish']).default('continue'),
});

/** What each kind of request may say; anything else is answered with what is wrong about it. */
export const DETAILS = {
  retry: selectionDetail,
  discard: selectionDetail,
  replay: replayDetail,
  adopt: adoptDetail,
  audit: z.looseObject({}),
  cancel: cancelDetail,
} as const satisfies Readonly<Record<RequestKind, z.ZodType>>;

export type SelectionDetail = z.infer<typeof selectionDetail>;
export type ReplayDetail = z.infer<typeof replayDetail>;
export type CancelDetail = z.infer<typeof cancelDetail>;
export type AdoptDetail = z.infer<typeof adoptDetail>;
