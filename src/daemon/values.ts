import { z } from 'zod';
import { PostcommitError } from '../errors.ts';
import { isJetStreamName } from '../jetstream/names.ts';
import { parseServers } from '../jetstream/settings.ts';
import { checkSubjectPattern } from '../jetstream/subjects.ts';

/** Each message continues "POSTCOMMIT_STREAM …" and holds no value: whoever reports it knows whether to show one. */
const text = z.string({ error: ({ input }) => (input === undefined ? 'is not set' : 'is not a text') });

export const postgresUrl = text
  .refine((url) => /^postgres(ql)?:\/\//.test(url), {
    message: 'does not begin with postgres:// or postgresql://',
    abort: true,
  })
  .refine((url) => URL.canParse(url), { message: 'is no readable URL', abort: true })
  .refine(
    saysWhoIsTheHost,
    'has a / or # in its password, or an @ in its database, that is not percent-encoded',
  );

/** Of `postgres://user:12/34@host/db` the user is read as the host, and a part of the password as the database. */
function saysWhoIsTheHost(text: string): boolean {
  const { pathname, hash } = new URL(text);
  return hash === '' && !pathname.includes('@');
}

export const natsServers = listOf(text).check((ctx) => {
  try {
    parseServers(ctx.value);
  } catch (error) {
    const message = `is unusable: ${error instanceof PostcommitError ? error.message : 'no readable URL'}`;
    ctx.issues.push({ code: 'custom', message, input: undefined });
  }
});

export const plainText = text;

/** Null is off. */
export const consoleHosts = text.transform((value, ctx): readonly string[] | null => {
  if (value === 'off') return null;
  if (value === 'on') return [];
  const hosts = value.split(',').map((host) => host.trim().toLowerCase());
  if (hosts.every((host) => /^[a-z\d]([a-z\d.-]{0,252}[a-z\d])?$/.test(host))) return hosts;
  ctx.issues.push({ code: 'custom', message: 'is no list of host names', input: undefined });
  return z.NEVER;
});

/** Short ones are guessed. */
export const consoleToken = text.refine((value) => value.length >= 16, 'is too short');

export const streamName = text.refine(isJetStreamName, 'is no name for a stream');

export const subjectList = listOf(
  text.check((ctx) => {
    const problem = checkSubjectPattern(ctx.value);
    if (problem !== undefined)
      ctx.issues.push({ code: 'custom', message: `is unusable: ${problem}`, input: undefined });
  }),
);

export const subjectPrefix = text.refine(
  (prefix) => checkSubjectPattern(prefix) === undefined && !/[*>]/.test(prefix),
  'is no subject',
);

export const trueOrFalse = z.union(
  [z.boolean(), z.enum(['true', 'false']).transform((word) => word === 'true')],
  {
    error: 'is neither true nor false',
  },
);

export const ordering = oneOf(['stream', 'key', 'none'], 'is no ordering');

/** What later events of a key do whose head is dead. */
export const deadLetters = oneOf(['skip', 'hold'], 'is neither skip nor hold');

export const sourceName = text.refine(
  (name) => /^[!-~]{1,200}$/.test(name),
  'cannot be sent as a header of a message',
);

export const cloudEvents = oneOf(['off', 'binary'], 'is neither binary nor off');

export interface HttpAddress {
  readonly host: string;
  readonly port: number;
}

export const httpAddress = text.transform((value, ctx): HttpAddress | null => {
  if (value === 'off') return null;
  const match = /^(?:\[([0-9a-f:.]+)\]|([^\s:[\]/\p{Cc}]+)):(\d{1,5})$/iu.exec(value);
  const port = Number(match?.[3]);
  if (match !== null && port <= 65_535) return { host: String(match[1] ?? match[2]), port };
  ctx.issues.push({ code: 'custom', message: 'is no address', input: undefined });
  return z.NEVER;
});

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds of `24h`, `90m`, `7d`; undefined for anything else. */
export function parseDuration(value: string): number | undefined {
  const match = /^(\d{1,12})(ms|s|m|h|d)$/.exec(value);
  if (match === null) return undefined;
  return Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS];
}

/** A duration within bounds, in milliseconds. */
export function durationBetween(leastMs: number, mostMs: number) {
  return text.transform((value, ctx): number => {
    const ms = parseDuration(value);
    if (ms !== undefined && ms >= leastMs && ms <= mostMs) return ms;
    const message = ms === undefined ? 'is no duration' : 'is out of range';
    ctx.issues.push({ code: 'custom', message, input: undefined });
    return z.NEVER;
  });
}

export const retention = durationBetween(UNIT_MS.s, 3_650 * UNIT_MS.d);

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

export const logLevel = text
  .transform((level) => level.toLowerCase())
  .refine((level) => LOG_LEVELS.includes(level), 'is no log level');

const lane = z.strictObject(
  {
    stream: streamName,
    subjects: subjectList,
    ordering: ordering.default('stream'),
    deadLetters: deadLetters.default('skip'),
  },
  { error: ({ code }) => (code === 'unrecognized_keys' ? undefined : 'is no object') },
);

export const laneList = z.preprocess(
  (value) => (typeof value === 'string' ? parseJson(value) : value),
  z
    .array(lane, { error: 'is no list in JSON' })
    .min(1, 'is empty')
    .refine(
      (lanes) => new Set(lanes.map(({ stream }) => stream)).size === lanes.length,
      'names a stream twice, which can have one lane only',
    ),
);

function parseJson(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    return undefined;
  }
}

function oneOf<Word extends string>(words: readonly Word[], problem: string) {
  return text.transform((value, ctx): Word => {
    const word = words.find((one) => one === value);
    if (word !== undefined) return word;
    ctx.issues.push({ code: 'custom', message: problem, input: undefined });
    return z.NEVER;
  });
}

/** `a, b` or, from a file, `["a", "b"]`. */
function listOf(item: z.ZodType<string>) {
  const split = (value: unknown) =>
    typeof value === 'string' ? value.split(',').map((part) => part.trim()) : value;
  const error = ({ input }: { input: unknown }) => (input === undefined ? 'is not set' : 'is no list');
  return z.preprocess(split, z.array(item, { error }).min(1, 'is empty'));
}
