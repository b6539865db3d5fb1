import { createStyle, cutTo } from '../demo/style.ts';
import { countText, durationText, shareText } from '../quantities.ts';
import type { CliContext } from './context.ts';

/** How far something is. */
export interface ProgressState {
  /** What is being done; a new one begins anew. */
  readonly what: string;
  readonly count: number;
  /** Of the count: `events`, `rows`. */
  readonly unit: string;
  readonly total?: number | undefined;
  /** Of the way, from 0 to 1. Default: of the total. */
  readonly share?: number | undefined;
  /** Why it does not go on, for instance. */
  readonly note?: string | undefined;
}

/**
 * Shows on standard error how far a command is: a bar on a terminal, a plain line every few seconds elsewhere. What is over
 * at once shows nothing.
 */
export interface ProgressBar {
  show(state: ProgressState): void;
  /** Takes the bar off the terminal; what is printed next begins a line of its own. */
  clear(): void;
}

export interface ProgressBarOptions {
  readonly context: Pick<CliContext, 'stderr' | 'env'>;
  /** Show nothing: the output is for a program, or silence was asked for. */
  readonly hidden: boolean;
  /** Milliseconds, default those of `performance.now()`. */
  readonly nowMs?: () => number;
}

const SHOWN_AFTER_MS = 500;
const REDRAWN_EVERY_MS = 100;
const LINE_EVERY_MS = 5_000;
const ERASE = '\r\u001b[K';

export function createProgressBar(options: ProgressBarOptions): ProgressBar {
  const { context, hidden, nowMs = () => performance.now() } = options;
  const { stderr, env } = context;
  const isTerminal = stderr.isTTY === true && env.TERM !== 'dumb';
  const style = createStyle(isTerminal && (env.NO_COLOR ?? '') === '');
  const pace = createPace();
  let dueAtMs = nowMs() + (isTerminal ? SHOWN_AFTER_MS : LINE_EVERY_MS);
  let drawn = false;
  return {
    show(state) {
      if (hidden) return;
      const atMs = nowMs();
      pace.note(state, atMs);
      if (atMs < dueAtMs) return;
      dueAtMs = atMs + (isTerminal ? REDRAWN_EVERY_MS : LINE_EVERY_MS);
      const words = wordsOf(state, pace);
      if (!isTerminal) return void stderr.write(`${state.what}: ${words.join(', ')}\n`);
      drawn = true;
      const share = shareOf(state);
      const bar = share === undefined ? [] : [style.good(barOf(share))];
      const line = [state.what, ...bar, ...words].join('  ');
      stderr.write(`${ERASE}${cutTo(line, (stderr.columns ?? 80) - 1)}`);
    },
    clear() {
      if (drawn) stderr.write(ERASE);
      drawn = false;
    },
  };
}

function shareOf({ share, count, total }: ProgressState): number | undefined {
  if (share !== undefined) return Math.min(Math.max(share, 0), 1);
  return total === undefined || total === 0 ? undefined : Math.min(count / total, 1);
}

function wordsOf(state: ProgressState, pace: Pace): string[] {
  const { count, total, unit, note } = state;
  const share = shareOf(state);
  const words: string[] = [];
  if (share !== undefined) words.push(shareText(share));
  words.push(
    total === undefined
      ? `${countText(count)} ${unit}`
      : `${countText(count)} of ${countText(total)} ${unit}`,
  );
  if (note !== undefined) return [...words, note];
  if (pace.perSecond !== undefined) words.push(`${countText(pace.perSecond)}/s`);
  if (pace.leftMs !== undefined) words.push(`${durationText(pace.leftMs)} left`);
  return words;
}

const WIDTH = 20;

function barOf(share: number): string {
  const filled = Math.round(share * WIDTH);
  return `[${'#'.repeat(filled)}${'-'.repeat(WIDTH - filled)}]`;
}

/** How fast it goes, of late. */
interface Pace {
  note(state: ProgressState, atMs: number): void;
  readonly perSecond: number | undefined;
  /** Undefined: not known, or it stands still. */
  readonly leftMs: number | undefined;
}

const OF_LATE_MS = 10_000;

function createPace(): Pace {
  let samples: { readonly atMs: number; readonly state: ProgressState }[] = [];
  const ends = () => {
    const [first, last] = [samples[0], samples.at(-1)];
    if (first === undefined || last === undefined || last.atMs - first.atMs < 200) return undefined;
    return { first, last, ms: last.atMs - first.atMs };
  };
  return {
    note(state, atMs) {
      if (samples.at(-1)?.state.what !== state.what) samples = [];
      // One from before keeps the window full.
      while (samples[1] !== undefined && atMs - samples[1].atMs >= OF_LATE_MS) samples.shift();
      samples.push({ atMs, state });
    },
    get perSecond() {
      const span = ends();
      return span && ((span.last.state.count - span.first.state.count) / span.ms) * 1_000;
    },
    get leftMs() {
      const span = ends();
      const [from, to] = [span && shareOf(span.first.state), span && shareOf(span.last.state)];
      if (span === undefined || from === undefined || to === undefined || to <= from || to === 1)
        return undefined;
      return ((1 - to) / (to - from)) * span.ms;
    },
  };
}
