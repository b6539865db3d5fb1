import type { Role } from './relay-process.ts';
import { grouped, type Style, seconds } from './style.ts';

/** What there is to see at one moment. */
export interface Snapshot {
  readonly elapsedMs: number;
  readonly phase: string;
  readonly committed: number;
  readonly rolledBack: number;
  readonly inStream: number;
  /** Events stored in the last second. */
  readonly perSecond: number;
  readonly backlog: number;
  /** The backlog of the last samples, oldest first. */
  readonly backlogHistory: readonly number[];
  /** Since when the oldest event of the backlog is committed; 0 without one. */
  readonly oldestMs: number;
  readonly effects: number;
  readonly refused: number;
  readonly kills: number;
  readonly relays: readonly { readonly number: number; readonly pid: number; readonly role: Role }[];
}

/** The block that is drawn again and again. */
export function viewLines(snapshot: Snapshot, style: Style): string[] {
  const { elapsedMs, phase, committed, rolledBack, inStream, perSecond, effects, refused, kills } = snapshot;
  const row = (label: string, value: number, rest: string) =>
    `  ${label.padEnd(10)}${style.bold(grouped(value).padStart(9))}   ${rest}`;
  return [
    `${style.bold(seconds(elapsedMs).padStart(8))}  ${phase}`,
    row('committed', committed, style.dim(`and ${grouped(rolledBack)} rolled back on purpose`)),
    row('in stream', inStream, `${grouped(perSecond)}/s`),
    row('backlog', snapshot.backlog, backlogText(snapshot, style)),
    row('effects', effects, `${grouped(refused)} duplicates refused`),
    row('kills', kills, relaysText(snapshot, style)),
  ];
}

/** The same in one line, for a log. */
export function plainLine(snapshot: Snapshot): string {
  const { elapsedMs, phase, committed, inStream, perSecond, backlog, oldestMs, effects, refused, kills } =
    snapshot;
  return [
    `${seconds(elapsedMs)} ${phase}:`,
    `committed ${grouped(committed)},`,
    `in stream ${grouped(inStream)} (${grouped(perSecond)}/s),`,
    `backlog ${grouped(backlog)} (oldest ${seconds(oldestMs)}),`,
    `effects ${grouped(effects)},`,
    `duplicates refused ${grouped(refused)},`,
    `kills ${kills}`,
  ].join(' ');
}

function backlogText({ backlog, backlogHistory, oldestMs }: Snapshot, style: Style): string {
  const age = `oldest ${seconds(oldestMs)}`.padEnd(14);
  return `${backlog > 0 ? style.warn(age) : age}${style.dim(sparkline(backlogHistory))}`;
}

function relaysText({ relays }: Snapshot, style: Style): string {
  const words: Readonly<Record<Role, string>> = {
    leader: style.good('leads'),
    standby: 'stands by',
    starting: style.dim('starts'),
    ended: style.bad('dead'),
  };
  return relays.map(({ number, pid, role }) => `relay ${number} (pid ${pid}) ${words[role]}`).join(', ');
}

const BARS = '▁▂▃▄▅▆▇█';

/** Heights relative to the highest; nothing at all is a flat line. */
export function sparkline(values: readonly number[]): string {
  const highest = Math.max(1, ...values);
  return values.map((value) => BARS[Math.ceil((value / highest) * (BARS.length - 1))]).join('');
}
