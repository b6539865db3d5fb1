import { constants } from 'node:os';
import type { Command } from 'commander';
import { watchStopSignals } from '../daemon/stop-signals.ts';
import { PostcommitError } from '../errors.ts';
import type { Session } from '../postgres/session.ts';
import { countText } from '../quantities.ts';
import type { ReplayDetail } from '../relay/operator/details.ts';
import { askLeader } from '../requests/ask-leader.ts';
import { ask, requestOf } from '../requests/requests.ts';
import { withOperatorSession } from './ask-leader.ts';
import { confirm } from './confirm.ts';
import { type CliContext, printLine } from './context.ts';
import { EXIT, EXIT_CODES_HELP } from './exit-codes.ts';
import { type Followed, followRequest } from './follow-request.ts';
import { createProgressBar, type ProgressBar } from './progress-bar.ts';
import { countReplay, type ReplayCount } from './replay-count.ts';
import { addReplayOptions, checkReplayFlags, type ReplayFlags, toReplayDetail } from './replay-flags.ts';
import { describeCancelled, describeCount, describeFollowed, progressOf } from './replay-text.ts';
import { addSettingOptions } from './setting-options.ts';

export function registerReplay(
  program: Command,
  context: CliContext,
  exitWith: (code: number) => void,
): void {
  const command = program
    .command('replay')
    .summary('publish events again that the outbox still holds')
    .description(
      'Asks the leading relay to publish events of the past again: copies with the same event id, so that an inbox knows them. With --subject-prefix they go onto subjects of their own, for a consumer of their own. New events go on meanwhile.',
    );
  addReplayOptions(command);
  command.addHelpText('after', EXAMPLES + EXIT_CODES_HELP).action(async () => {
    const flags = command.opts<ReplayFlags>();
    checkReplayFlags(command, flags);
    await withOperatorSession(command, context, async (session) =>
      exitWith(await run({ command, context, session, flags })),
    );
  });
  addSettingOptions(command, ['databaseUrl', 'logLevel']);
}

const EXAMPLES = `
More than 10,000 events are asked about on a terminal, and need --yes elsewhere. Ctrl-C stops waiting; the replay goes on.
Exits with 1 if it was not finished, was cancelled, or left something out.

Examples:
  DATABASE_URL=postgres://operator:secret@db/shop postcommit replay --since 2h --dry-run
  postcommit replay --key customer-9 --key customer-17
  postcommit replay --subject 'orders.*.shipped' --since 2026-01-31T08:00:00Z --until 2026-01-31T09:00:00Z
  postcommit replay --stream orders --from-sequence 1200 --to-sequence 1300
  postcommit replay --all --subject-prefix rebuild --rate 500 --yes     # onto rebuild.<subject>
  postcommit replay --from-position 90000 --no-wait --json | jq .request
  postcommit replay --cancel 17
`;

interface Running {
  readonly command: Command;
  readonly context: CliContext;
  readonly session: Session;
  readonly flags: ReplayFlags;
}

/** Returns the exit code. */
async function run(running: Running): Promise<number> {
  const { cancel, follow, json, quiet } = running.flags;
  const bar = createProgressBar({ context: running.context, hidden: json === true || quiet === true });
  if (cancel !== undefined) return cancelReplay(running, cancel);
  if (follow !== undefined) return followAgain(running, follow, bar);
  return askForReplay(running, bar);
}

async function askForReplay(running: Running, bar: ProgressBar): Promise<number> {
  const { context, session, flags } = running;
  const wish = await toReplayDetail(session, flags);
  const count = await countReplay(session, wish, ({ events, share }) =>
    bar.show({ what: 'counting', count: events, unit: 'events', share }),
  );
  bar.clear();
  if (typeof count === 'string')
    throw new PostcommitError('event-invalid', count, 'postcommit replay --help');
  assertFits(count, wish);
  if (flags.dryRun === true || count.to === null) {
    print(running, { dryRun: flags.dryRun === true, ...count }, describeCount(count, wish));
    return EXIT.ok;
  }
  if (!(await isConfirmed(running, count.events))) {
    printLine(context.stderr, 'Nothing was asked for.');
    return EXIT.failure;
  }
  // What is written from now on is not part of what was counted.
  const detail = { ...wish, toPosition: count.to.position, counted: count.events };
  const request = await ask(session, 'replay', detail);
  return follow(running, { request, events: count.events, bar });
}

/** The rules of the outbox count for the subjects of copies, too. */
function assertFits({ longestSubject }: ReplayCount, { subjectPrefix }: ReplayDetail): void {
  if (subjectPrefix === undefined || longestSubject === null) return;
  const bytes = Buffer.byteLength(subjectPrefix) + 1 + longestSubject.bytes;
  if (bytes <= 255) return;
  throw new PostcommitError(
    'event-invalid',
    `under the prefix the subject of the event at position ${longestSubject.position} has ${bytes} bytes, and 255 are allowed`,
    'Take a shorter prefix.',
  );
}

const ASKED_ABOVE = 10_000;

async function isConfirmed({ command, context, flags }: Running, events: number): Promise<boolean> {
  if (events <= ASKED_ABOVE || flags.yes === true) return true;
  const number = countText(events);
  const answer = await confirm(context, `Publish ${number} events again?`);
  if (answer === undefined)
    command.error(`error: ${number} events are many, and nobody is here to be asked: add --yes`, {
      exitCode: EXIT.usage,
    });
  return answer === true;
}

async function followAgain(running: Running, request: number, bar: ProgressBar): Promise<number> {
  const known = await requestOf(running.session, request);
  if (known?.kind !== 'replay')
    throw new PostcommitError(
      'event-invalid',
      `there is no replay with the number ${request}`,
      'SELECT id, kind, requested_at, result FROM postcommit.requests shows what there is.',
    );
  const { counted } = known.detail;
  return follow(running, { request, events: typeof counted === 'number' ? counted : undefined, bar });
}

async function follow(
  running: Running,
  { request, events, bar }: { request: number; events: number | undefined; bar: ProgressBar },
): Promise<number> {
  const { session, flags, context } = running;
  if (flags.wait === false || flags.wait === 0) {
    print(running, { request, events, result: null }, [`request ${request}`]);
    return EXIT.ok;
  }
  const signals = watchStopSignals();
  try {
    const end = await followRequest(session, {
      request,
      waitMs: flags.wait,
      interrupted: signals.requested,
      onProgress: (result) => bar.show(progressOf(result, events)),
    });
    bar.clear();
    const { data, message } = describeFollowed(end, request);
    const result = 'result' in end ? end.result : null;
    print(running, { request, events, finished: end.kind === 'finished', result }, data);
    if (message !== undefined) printLine(context.stderr, message);
    return exitCodeOf(end, message);
  } finally {
    signals.release();
  }
}

/** Whatever there is to say beside what was published is a failure of sorts. */
function exitCodeOf(end: Followed, message: string | undefined): number {
  if (end.kind === 'interrupted') return 128 + constants.signals[end.signal];
  return end.kind === 'finished' && message === undefined ? EXIT.ok : EXIT.failure;
}

const CANCEL_WITHIN_MS = 30_000;

async function cancelReplay(running: Running, request: number): Promise<number> {
  const { session, flags, context } = running;
  const waitMs = flags.wait === false ? 0 : (flags.wait ?? CANCEL_WITHIN_MS);
  const answer = await askLeader(session, { kind: 'cancel', detail: { request }, waitMs });
  const { data, message } = describeCancelled(answer, request);
  print(running, answer, data);
  if (message !== undefined) printLine(context.stderr, message);
  return message === undefined ? EXIT.ok : EXIT.failure;
}

function print({ context, flags }: Running, json: object, lines: readonly string[]): void {
  if (flags.json) printLine(context.stdout, JSON.stringify(json));
  else for (const line of lines) printLine(context.stdout, line);
}
