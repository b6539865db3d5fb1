import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseDuration } from '../daemon/values.ts';
import { checkSubjectPattern } from '../jetstream/subjects.ts';
import { isSubject } from '../outbox/event-rules.ts';
import type { Session } from '../postgres/session.ts';
import { moment, type ReplayDetail } from '../relay/operator/details.ts';
import { durationOption } from './duration-option.ts';
import { EXIT } from './exit-codes.ts';

export interface ReplayFlags {
  readonly all?: true;
  readonly fromPosition?: number;
  readonly toPosition?: number;
  readonly stream?: string;
  readonly fromSequence?: number;
  readonly toSequence?: number;
  readonly since?: Moment;
  readonly until?: Moment;
  readonly key?: readonly string[];
  readonly subject?: string;
  readonly subjectPrefix?: string;
  readonly rate?: number;
  readonly dryRun?: true;
  readonly yes?: true;
  /** Milliseconds; false: not at all; undefined: until it is over. */
  readonly wait?: number | false;
  readonly cancel?: number;
  readonly follow?: number;
  readonly quiet?: true;
  readonly json?: true;
}

/** A time, or how long ago on the database's clock. */
type Moment = { readonly at: string } | { readonly agoMs: number };

const CHOICE = 'Which events (all of what is said has to be true of them):';
const PUBLISHING = 'How they are published:';

export function addReplayOptions(command: Command): void {
  const add = (group: string, flags: string, about: string, parse?: (text: string) => unknown) => {
    const option = new Option(flags, about).helpGroup(group);
    command.addOption(parse === undefined ? option : option.argParser(parse));
  };
  add(CHOICE, '--all', 'everything that the outbox still holds');
  add(CHOICE, '--from-position <n>', 'from this position in the outbox on', wholeNumber);
  add(CHOICE, '--to-position <n>', 'up to this position', wholeNumber);
  add(
    CHOICE,
    '--since <time>',
    'inserted at this time or later: 2026-01-31T08:00:00Z, or 2h for two hours ago',
    time,
  );
  add(CHOICE, '--until <time>', 'inserted before it', time);
  command.addOption(
    new Option('--key <key>', 'of this key; may be repeated').argParser(collect).helpGroup(CHOICE),
  );
  add(CHOICE, '--subject <pattern>', 'on this subject, which may have the wildcards * and >', subjectPattern);
  add(CHOICE, '--stream <name>', 'published onto this stream');
  add(CHOICE, '--from-sequence <n>', 'from this sequence of --stream on (in stream ordering)', wholeNumber);
  add(CHOICE, '--to-sequence <n>', 'up to this sequence', wholeNumber);
  add(PUBLISHING, '--subject-prefix <prefix>', 'on <prefix>.<subject> instead of the subject', subject);
  add(PUBLISHING, '--rate <events/s>', 'at most so many a second', rate);
  add(PUBLISHING, '--dry-run', 'only say which events it would be; needs no relay');
  add(PUBLISHING, '--yes', 'do not ask, however many there are');
  command
    .addOption(
      new Option('--wait <duration>', 'how long to wait for the end (default: until it has come)').argParser(
        durationOption,
      ),
    )
    .option('--no-wait', 'only print the number of the request')
    .addOption(
      new Option('--follow <request>', 'wait for one that was asked for before').argParser(wholeNumber),
    )
    .addOption(
      new Option('--cancel <request>', 'end one where it is; what was published of it stays').argParser(
        wholeNumber,
      ),
    )
    .option('--quiet', 'show no progress')
    .option('--json', 'print the result as JSON, and show no progress');
}

/** Ends the command where flags make no sense together. */
export function checkReplayFlags(command: Command, flags: ReplayFlags): void {
  const fault = flagFault(flags);
  if (fault !== undefined) command.error(`error: ${fault}`, { exitCode: EXIT.usage });
}

function flagFault(flags: ReplayFlags): string | undefined {
  const { cancel, follow } = flags;
  if (cancel === undefined && follow === undefined) return choiceFault(flags);
  if (cancel !== undefined && follow !== undefined) return '--cancel and --follow exclude each other';
  if (!isChoosing(flags) && flags.stream === undefined) return undefined;
  return `--${cancel === undefined ? 'follow' : 'cancel'} speaks of a replay that was asked for before: it takes no choice of events`;
}

function choiceFault(flags: ReplayFlags): string | undefined {
  const { stream, fromSequence, toSequence, fromPosition, toPosition } = flags;
  if (stream === undefined && (fromSequence !== undefined || toSequence !== undefined))
    return 'sequences are those of a stream: add --stream';
  if (!isChoosing(flags))
    return stream === undefined
      ? 'which events to replay was not said: choose some, or take --all'
      : '--stream alone is everything in it: choose more closely, or add --all';
  if (isBackwards(fromPosition, toPosition)) return '--from-position lies behind --to-position';
  if (isBackwards(fromSequence, toSequence)) return '--from-sequence lies behind --to-sequence';
  return undefined;
}

function isChoosing(flags: ReplayFlags): boolean {
  const { all, fromPosition, toPosition, fromSequence, toSequence, since, until, key, subject } = flags;
  const said = [all, fromPosition, toPosition, fromSequence, toSequence, since, until, key, subject];
  return said.some((flag) => flag !== undefined);
}

function isBackwards(from: number | undefined, to: number | undefined): boolean {
  return from !== undefined && to !== undefined && from > to;
}

/** What is asked of the relay. Times are told by the database's clock, which says when an event was inserted. */
export async function toReplayDetail(session: Session, flags: ReplayFlags): Promise<ReplayDetail> {
  const { stream, fromSequence, toSequence, toPosition, key, subject, subjectPrefix, rate, all } = flags;
  const detail = {
    fromPosition: flags.fromPosition ?? (all === true ? 1 : undefined),
    toPosition,
    stream,
    fromSequence,
    toSequence,
    since: flags.since && (await momentOf(session, flags.since)),
    until: flags.until && (await momentOf(session, flags.until)),
    keys: key && [...key],
    subject,
    subjectPrefix,
    rate,
  };
  return Object.fromEntries(Object.entries(detail).filter(([, value]) => value !== undefined));
}

async function momentOf(session: Session, moment: Moment): Promise<string> {
  if ('at' in moment) return moment.at;
  const [row] = await session.query({
    text: `select to_char((clock_timestamp() - $1 * interval '1 millisecond') at time zone 'UTC',
                          'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`,
    values: [moment.agoMs],
  });
  return row?.[0] as string;
}

function time(text: string): Moment {
  const agoMs = parseDuration(text);
  if (agoMs !== undefined) return { agoMs };
  const parsed = moment.safeParse(text);
  if (parsed.success) return { at: parsed.data };
  throw new InvalidArgumentError(
    'Expected a time with its offset, like 2026-01-31T08:00:00Z, or how long ago, like 2h.',
  );
}

function wholeNumber(text: string): number {
  if (/^\d{1,15}$/.test(text) && Number(text) > 0) return Number(text);
  throw new InvalidArgumentError('Expected a whole number above 0.');
}

function rate(text: string): number {
  return wholeNumber(text.replace(/\/s$/, ''));
}

function subjectPattern(text: string): string {
  const problem = checkSubjectPattern(text);
  if (problem === undefined) return text;
  throw new InvalidArgumentError(`It is no pattern for subjects: ${problem}.`);
}

function subject(text: string): string {
  if (isSubject(text)) return text;
  throw new InvalidArgumentError(
    'Expected the beginning of a subject, without wildcards and a dot at its end.',
  );
}

function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}
