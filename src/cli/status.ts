import type { Command } from 'commander';
import type { DatabaseView, StreamView, SystemView } from '../observe/system.ts';
import { bytesText, counted, countText, durationText } from '../quantities.ts';
import { inColumns } from './columns.ts';
import { type CliContext, printLine } from './context.ts';
import { EXIT, EXIT_CODES_HELP } from './exit-codes.ts';
import { LOOK_SETTINGS, type Look, lookOnce } from './look.ts';
import { addSettingOptions, configSources } from './setting-options.ts';

export function registerStatus(
  program: Command,
  context: CliContext,
  exitWith: (code: number) => void,
): void {
  const command = program
    .command('status')
    .summary('who leads, what waits, streams, consumers and dead letters, at a glance')
    .description(
      'Looks once at PostgreSQL and NATS and says how things stand. It judges nothing: postcommit check does, and postcommit doctor says what to do.',
    )
    .option('--json', 'print everything that was seen as JSON')
    .addHelpText('after', EXAMPLES + EXIT_CODES_HELP)
    .action(async () => {
      const look = await lookOnce(configSources(command, context));
      if (command.opts<{ json?: true }>().json) printLine(context.stdout, JSON.stringify(look));
      else for (const line of statusLines(look)) printLine(context.stdout, line);
      exitWith(isSeen(look) ? EXIT.ok : EXIT.unreachable);
    });
  addSettingOptions(command, LOOK_SETTINGS);
}

function isSeen({ system: { database, broker }, backlog }: Look): boolean {
  if (database.kind !== 'seen' || broker.kind !== 'seen' || backlog === null) return false;
  return broker.value.streams.every((stream) => 'state' in stream);
}

const EXAMPLES = `
What cannot be seen is said, and the rest is shown all the same (exit code 4).

Examples:
  postcommit status
  watch -n 2 postcommit status
  postcommit status --json | jq '.backlog'
`;

export function statusLines(look: Look): string[] {
  const { database, broker } = look.system;
  const rows: string[][] =
    database.kind === 'seen'
      ? databaseRows(database.value, look)
      : [['PostgreSQL', `cannot be seen: ${database.reason}`]];
  if (broker.kind === 'seen')
    rows.push(...broker.value.streams.flatMap((stream) => streamRows(stream, look)));
  else rows.push(['NATS', `cannot be seen: ${broker.reason}`]);
  return inColumns(rows);
}

function databaseRows(view: DatabaseView, { backlog, system }: Look): string[][] {
  return [
    ['database', view.name],
    ['relay', relayWords(view.leadership)],
    ['backlog', backlog === null ? 'not known' : backlogWords(backlog)],
    ['outbox', outboxWords(view, system.pending)],
    ['dead letters', letterWords(view)],
  ];
}

function relayWords({ leader, expiresInMs, epoch, standbys }: DatabaseView['leadership']): string {
  const others = standbys.length === 0 ? 'no standby' : `standing by: ${standbys.join(', ')}`;
  if (leader === null || expiresInMs === null || expiresInMs <= 0) return `nobody leads; ${others}`;
  return `${leader} leads (term ${epoch}); ${others}`;
}

function backlogWords({ events, exact, oldestAgeMs }: NonNullable<Look['backlog']>): string {
  if (events === 0) return 'nothing waits';
  const age = oldestAgeMs === null ? '' : `, the oldest for ${durationText(oldestAgeMs)}`;
  return `${exact ? '' : 'about '}${counted(events, 'event')}${age}`;
}

function outboxWords({ ring, writers }: DatabaseView, pending: SystemView['pending']): string {
  if (ring.kind !== 'seen') return `cannot be looked at: ${ring.reason}`;
  const used = ring.value.filter(({ from, current }) => from !== null || current);
  const bytes = used.reduce((sum, leaf) => sum + leaf.bytes, 0);
  const last = pending.kind === 'seen' ? `; last position ${countText(pending.value.lastPosition)}` : '';
  const writing = writers === 0 ? '' : `; ${counted(writers, 'open transaction')} may still write`;
  return `${used.length} of ${ring.value.length} segments, ${bytesText(bytes)}${last}${writing}`;
}

function letterWords({ letters }: DatabaseView): string {
  if (letters.length === 0) return 'none';
  return letters
    .map(({ consumer, stream, state, outcome, letters: count }) => {
      const whose = consumer === null ? stream : `${consumer} on ${stream}`;
      return `${countText(count)} ${outcome} of ${whose} (${state})`;
    })
    .join(', ');
}

function streamRows(stream: StreamView | { name: string; reason: string }, look: Look): string[][] {
  if (!('state' in stream)) return [['stream', `${stream.name}: ${stream.reason}`]];
  const { name, state, durables } = stream;
  const lane = look.lanes.find((one) => one.stream === name);
  const nowMs = nowOf(look.system);
  const last =
    state.lastAtMs === undefined
      ? 'no message yet'
      : `last message ${durationText(Math.max(0, nowMs - state.lastAtMs))} ago`;
  const flight = lane?.inFlight ? `, ${countText(lane.inFlight)} on their way` : '';
  const rows = [
    ['stream', `${name}: ${counted(state.messages, 'message')}, ${bytesText(state.bytes)}, ${last}${flight}`],
  ];
  if (durables.kind !== 'seen') return [...rows, ['', `  consumers cannot be listed: ${durables.reason}`]];
  for (const durable of durables.value)
    rows.push([
      '',
      `  ${durable.name}${durable.durable ? '' : ' (ephemeral)'}: lag ${countText(durable.pending)}, under way ${countText(durable.ackPending)}, done up to ${countText(durable.ackFloor)}`,
    ]);
  if (stream.more) rows.push(['', '  and others']);
  return rows;
}

function nowOf({ database }: SystemView): number {
  return database.kind === 'seen' ? database.value.nowMs : Date.now();
}
