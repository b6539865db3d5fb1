import type { Command } from 'commander';
import { type AuditReport, auditOutbox, type FoundRow } from '../outbox/audit-report.ts';
import type { Session } from '../postgres/session.ts';
import { askLeader } from '../requests/ask-leader.ts';
import { noAnswer, waitOption, withOperatorSession } from './ask-leader.ts';
import { type CliContext, printLine } from './context.ts';
import { EXIT, EXIT_CODES_HELP } from './exit-codes.ts';
import { createProgressBar } from './progress-bar.ts';
import { addSettingOptions } from './setting-options.ts';

interface Flags {
  readonly dryRun?: true;
  readonly json?: true;
  readonly quiet?: true;
  readonly wait: number;
}

export function registerAudit(program: Command, context: CliContext, exitWith: (code: number) => void): void {
  const command = program
    .command('audit')
    .summary('compare the outbox with the log of what was planned')
    .description(
      'Counts which events of the outbox are planned, set aside or waiting, and names those that no plan holds and no reader would find: written at a chosen position, straight into a leaf, or by a sequence that was set back. Asks the leading relay to publish them. Reads only the database; keeps no writer waiting.',
    )
    .option('--dry-run', 'only look: ask the relay for nothing')
    .addOption(waitOption())
    .option('--json', 'print the result as JSON, and show no progress')
    .option('--quiet', 'show no progress')
    .addHelpText('after', EXAMPLES + EXIT_CODES_HELP)
    .action(() =>
      withOperatorSession(command, context, async (session) =>
        exitWith((await audit(session, command.opts<Flags>(), context)) ? EXIT.ok : EXIT.failure),
      ),
    );
  addSettingOptions(command, ['databaseUrl', 'logLevel']);
}

const EXAMPLES = `
Exits with 1 if it found something, also when the relay is publishing it by then.
Waiting events are none of that: no reader has come to them yet, or their lane is paused.

Examples:
  DATABASE_URL=postgres://operator:secret@db/shop postcommit audit
  postcommit audit --dry-run --json | jq .uncovered
  postcommit audit --wait 5m                        # an outbox of many millions
`;

/** What the leading relay said; null when it was not asked. */
interface Answer {
  readonly request: number;
  /** False: no relay answered in time. The request stays, and the next leader takes it up. */
  readonly answered: boolean;
  /** How many events it publishes that it would not have found. */
  readonly found: number;
}

/** True if everything is as it should be. */
async function audit(session: Session, flags: Flags, context: CliContext): Promise<boolean> {
  const bar = createProgressBar({ context, hidden: flags.json === true || flags.quiet === true });
  const report = await auditOutbox(session, ({ reading, rows, share }) =>
    bar.show({ what: `reading the ${reading}`, count: rows, unit: 'rows', share }),
  );
  bar.clear();
  const doubtful = report.uncovered.count + report.reused.count + report.unclear;
  const answer =
    flags.dryRun === true || doubtful === 0 ? null : await askForAudit(session, report, flags.wait);
  if (flags.json) printLine(context.stdout, JSON.stringify({ ...report, relay: answer }));
  else printReport(report, answer, context);
  const findings = [report.uncovered, report.reused, report.shared, report.plannedTwice];
  return findings.every(({ count }) => count === 0) && (answer?.found ?? 0) === 0;
}

async function askForAudit(session: Session, { uncovered }: AuditReport, waitMs: number): Promise<Answer> {
  const positions = uncovered.first.map(({ position }) => position);
  const detail = { positions, events: uncovered.count };
  const { request, result } = await askLeader(session, { kind: 'audit', detail, waitMs });
  return { request, answered: result !== null, found: Number(result?.found ?? 0) };
}

function printReport(report: AuditReport, answer: Answer | null, { stdout }: CliContext): void {
  const line = (text: string) => printLine(stdout, text);
  line(`${count(report.rows)} events in the outbox`);
  for (const [number, what] of [
    [report.planned, 'planned'],
    [report.parked, 'set aside as dead letters'],
    [report.waiting, 'waiting to be read'],
    [report.uncovered.count, 'in no plan, where no reader looks any more'],
    [report.reused.count, 'at a position that was handed out again after its event was planned'],
  ] as const)
    line(`${count(number).padStart(12)}  ${what}`);
  printRows('In no plan', report.uncovered, line);
  printRows('At a position that was handed out again', report.reused, line);
  printRows('Positions that two rows have', report.shared, line);
  for (const { position, rows } of report.plannedTwice.first)
    line(
      `Planned twice: position ${position} in ${rows.map(({ stream, batch }) => `${stream} batch ${batch}`).join(', ')}`,
    );
  if (report.plannedTwice.count > report.plannedTwice.first.length)
    line(`Planned twice: ${count(report.plannedTwice.count)} positions in all`);
  for (const stream of report.streams)
    line(
      `stream ${stream.stream}: settled to ${stream.settledTo ?? stream.settledBatch ?? 'nothing'}, ${count(stream.plannedNotSettled)} planned and not known to be settled when it last planned, at ${stream.lastPlannedAt}`,
    );
  line(conclusion(report, answer));
}

function printRows(
  title: string,
  { count: total, first }: AuditReport['uncovered'],
  line: (text: string) => void,
): void {
  if (total === 0) return;
  line(`${title}:`);
  for (const row of first) line(`  ${describe(row)}`);
  if (total > first.length) line(`  and more, ${count(total)} in all`);
}

function describe({ position, segment, createdAt, subject }: FoundRow): string {
  return `position ${position}, segment ${segment}, inserted ${createdAt}, subject ${subject}`;
}

function conclusion(report: AuditReport, answer: Answer | null): string {
  const { uncovered, unclear } = report;
  if (answer?.answered === true && answer.found > 0)
    return `The relay has taken up ${count(answer.found)} events that no plan held, and publishes them.`;
  if (answer?.answered === true)
    return 'The relay finds nothing more to publish: what waits is waiting for its lane, or was taken up before.';
  if (answer !== null) return noAnswer(answer);
  if (uncovered.count > 0) return 'Without --dry-run, the relay is asked to publish what is in no plan.';
  if (unclear > 0)
    return `${count(unclear)} of those waiting lie where some lane has read: only the relay knows whether they were passed over. Without --dry-run it is asked.`;
  return 'Nothing was passed over.';
}

function count(number: number): string {
  return number.toLocaleString('en-US');
}
