import type { StoredEvent } from '../../event.ts';
import { eventsAt } from '../lane/events-at.ts';
import type { Lane } from '../lane/lane.ts';
import { checkPrefix } from './check-prefix.ts';
import { type Chosen, chooseEvents } from './chosen-events.ts';
import type { ReplayDetail } from './details.ts';
import { answered, type Handling, type OperatorContext } from './handling.ts';
import { nextPortion } from './next-portion.ts';
import {
  answerOf,
  type DatabaseClock,
  noteProgress,
  type Progress,
  readProgress,
} from './replay-progress.ts';
import { countOf, route } from './route.ts';

/** Then other requests have their turn, one that cancels this for instance. */
const TURN_MS = 1_000;

/** Publishes events of the past again, as copies: same event id, so that an inbox knows them, and a message id of their own. */
export interface Replays {
  /** Goes on with one for about a second. */
  turn(request: { id: number; wish: ReplayDetail }, signal: AbortSignal): Promise<Handling>;
  /** All others are over. */
  keepOnly(ids: readonly number[]): void;
}

export function createReplays(context: OperatorContext): Replays {
  /** Choosing by sequence means reading much of the log: once. */
  const chosen = new Map<number, Chosen>();

  async function choose(id: number, wish: ReplayDetail): Promise<Chosen | string> {
    const known = chosen.get(id) ?? (await chooseEvents(context.session, wish));
    if (typeof known !== 'string') chosen.set(id, known);
    return known;
  }
  return {
    async turn({ id, wish }, signal) {
      const events = await choose(id, wish);
      if (typeof events === 'string') return answered({ error: events });
      return takeTurn({ context, id, wish, events }, signal);
    },
    keepOnly(ids) {
      for (const id of chosen.keys()) if (!ids.includes(id)) chosen.delete(id);
    },
  };
}

export interface Replaying {
  readonly context: OperatorContext;
  readonly id: number;
  readonly wish: ReplayDetail;
  readonly events: Chosen;
}

/** `went-on`: and is to go on. */
export type Step = { readonly kind: 'went-on'; readonly progress: Progress } | Handling;

async function takeTurn(replaying: Replaying, signal: AbortSignal): Promise<Handling> {
  const { context, id, wish } = replaying;
  const read = await readProgress(context.session, id);
  if (read === undefined) return { kind: 'later' }; // It was open when this round began.
  const { clock } = read;
  const endsAtMs = performance.now() + TURN_MS;
  let { progress } = read;
  for (;;) {
    if (signal.aborted) return { kind: 'abandoned' };
    const waitMs = progress.dueMs - clock.atLeast();
    if (waitMs > 0) return { kind: 'unfinished', dueInMs: waitMs };
    const isChecked = wish.subjectPrefix === undefined || progress.checked >= progress.end;
    const step = isChecked
      ? await replayPortion(replaying, progress, clock)
      : await checkPrefix(replaying, progress);
    if (step.kind !== 'went-on') return step;
    progress = step.progress;
    if (!(await noteProgress(context, id, progress))) return { kind: 'fenced' };
    if (performance.now() > endsAtMs) return { kind: 'unfinished', dueInMs: 0 };
  }
}

async function replayPortion(replaying: Replaying, progress: Progress, clock: DatabaseClock): Promise<Step> {
  const { context, id, wish } = replaying;
  const dueAfter = (copies: number) =>
    wish.rate === undefined ? 0 : clock.atMost() + (copies / wish.rate) * 1_000;
  const { positions, to, over } = await nextPortion(replaying, progress);
  if (over && positions.length === 0) return answered(answerOf(progress));
  const events = [...(await eventsAt(context.session, positions)).values()];
  const shares = route(context, events, wish.subjectPrefix ?? null);
  const portion = { ...progress, to, dueMs: dueAfter(events.length) };
  // A leader that dies once it has planned them leaves no more to the next one than the rate allows.
  if (wish.rate !== undefined && !(await noteProgress(context, id, portion))) return { kind: 'fenced' };
  const planned = await planShares(replaying, portion, shares);
  if (planned.kind !== 'went-on') return planned;
  const { replayed, refused, misrouted } = planned.progress;
  const left = events.length - countOf(shares);
  return {
    kind: 'went-on',
    progress: {
      ...progress,
      above: to,
      replayed,
      refused,
      misrouted: misrouted + left,
      done: [],
      to: null,
      waitsFor: null,
      dueMs: dueAfter(replayed - progress.replayed),
    },
  };
}

/** Lane by lane: what one has is written down before the next is asked, which may have to wait for long. */
async function planShares(
  { context, id, wish }: Replaying,
  portion: Progress,
  shares: ReadonlyMap<Lane, readonly StoredEvent[]>,
): Promise<Step> {
  let progress = portion;
  for (const [lane, events] of shares) {
    if (progress.done.includes(lane.stream)) continue;
    let refused = 0;
    const repeated = await lane.repeat({
      kind: 'replay',
      events,
      prefix: wish.subjectPrefix ?? null,
      onRefused(count) {
        refused = count;
      },
    });
    if (repeated !== 'planned') {
      const waiting = { ...progress, waitsFor: lane.stream };
      const isNews = repeated === 'later' && progress.waitsFor !== lane.stream;
      if (isNews && !(await noteProgress(context, id, waiting))) return { kind: 'fenced' };
      return { kind: repeated };
    }
    progress = {
      ...progress,
      waitsFor: null,
      replayed: progress.replayed + events.length - refused,
      refused: progress.refused + refused,
      done: [...progress.done, lane.stream],
    };
    if (shares.size > 1 && !(await noteProgress(context, id, progress))) return { kind: 'fenced' };
  }
  return { kind: 'went-on', progress };
}
