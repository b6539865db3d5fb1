import { planIfLeading } from '../batch-log/plan.ts';
import { settleLettersIfLeading } from '../dead-letters/letters.ts';
import type { StreamState } from '../jetstream/index.ts';
import { createWakeUp } from '../lifecycle/wake-up.ts';
import { createStreamOutlet } from './chain/stream-outlet.ts';
import { createKeyOutlet } from './keys/key-outlet.ts';
import { createComparing } from './lane/comparison.ts';
import { createDrafter } from './lane/drafter.ts';
import { type Lane, type LaneContext, MAX_PENDING, MAX_PENDING_BYTES } from './lane/lane.ts';
import { createLaneLetters } from './lane/lane-letters.ts';
import { createLaneLog } from './lane/lane-log.ts';
import { createLineage } from './lane/lineage.ts';
import type { Outlet } from './lane/outlet.ts';
import { type PreparedStream, type PrepareOptions, prepareStream } from './lane/prepare-stream.ts';
import { createWatchers } from './lane/watchers.ts';

const RETRY_AT_MOST_MS = 1_000;
/** A request waits so long for its row: a lane that pauses meanwhile must not hold up what is asked of others. */
const REPEAT_PATIENCE_MS = 10_000;

// biome-ignore lint/complexity/noExcessiveLinesPerFunction: puts the lane's parts together and tends them.
export function createLane(context: LaneContext): Lane {
  const { options, session, link, epoch, closing } = context;
  const { stream, ordering = 'stream', deadLetters: policy = 'skip' } = options;
  const watchers = createWatchers();
  const kick = createWakeUp();
  const changed = () => watchers.check();
  let known: { readonly state: StreamState; readonly atMs: number } | undefined;
  const know = (state: StreamState) => {
    known = { state, atMs: performance.now() };
  };
  /** Stored although nothing planned them: the log has lost their rows, and reading meets them once more. */
  const storedBefore = new Set<number>();
  const letters = createLaneLetters({ stream, policy, atMost: context.maxDeadLetters });
  const log = createLaneLog({ stream, ordering, epoch, settled: () => outlet });
  const createOutlet = ordering === 'stream' ? createStreamOutlet : createKeyOutlet;
  const outlet: Outlet = createOutlet({
    ...context,
    log,
    letters,
    onStoredBefore(positions) {
      for (const position of positions) storedBefore.add(position);
    },
    changed,
    wake() {
      kick.wake();
      changed();
      context.wake();
    },
  });
  const { gate } = outlet;
  const drafter = createDrafter({
    stream,
    outlet,
    log,
    letters,
    known: () => known,
    maxPayload: () => link.maxPayload,
    cloudEvents: context.cloudEvents,
    storedBefore,
    slotted: ordering === 'stream',
    restDue: () => restsAt === log.lastBatch && isUnsaid(),
    changed,
  });
  const lineage = createLineage(context);
  const prepare = async (how: PrepareOptions): Promise<PreparedStream> => {
    const prepared = await prepareStream(link, options, how);
    return prepared.kind === 'fit' ? { ...prepared, state: lineage.named(prepared.state) } : prepared;
  };
  const comparing = createComparing({ context, outlet, log, letters, lineage, prepare, know });
  /** Nothing is left to do for a stream that is no lane any more. */
  let ended = false;
  /** The batch behind which nothing came for a while. */
  let restsAt: number | undefined;

  const flows = () => gate.state.kind === 'flowing';
  // Without slots the newest row is looked up after every start: on a stream that deletes, in vain, and it is sent again.
  const isUnsaid = () => ordering !== 'stream' && flows() && outlet.pending === 0 && log.unsaid;
  const hasRoom = () =>
    outlet.behind === 0 && outlet.pending < MAX_PENDING && outlet.pendingBytes < MAX_PENDING_BYTES;
  const isOver = () =>
    closing &&
    flows() &&
    outlet.pending === 0 &&
    !letters.hasFates &&
    letters.inState('retrying').length === 0;
  const isDue = () =>
    !ended && (!flows() || letters.hasFates || outlet.hungry || comparing.adopting || isOver());

  async function writeFates(): Promise<'written' | 'fenced'> {
    const fates = letters.takeFates();
    if (fates === undefined) return 'written';
    return (await settleLettersIfLeading(session, epoch, fates)) ? 'written' : 'fenced';
  }

  /** An empty row: what it says is that everything before it is settled. */
  const sayAllSettled = () =>
    planIfLeading(session, [log.next({ kind: 'new', ...outlet.bounds(0), positions: [] })]);

  /** For a stream that is no lane any more: no later start asks again. */
  async function closeDown(): Promise<'fenced' | 'done'> {
    ended = true;
    return (await sayAllSettled()) === 'fenced' ? 'fenced' : 'done';
  }

  async function tendFlowing(): Promise<'fenced' | 'done'> {
    comparing.adopted();
    if (isOver()) return closeDown();
    return (await outlet.feed()) === 'fenced' ? 'fenced' : 'done';
  }

  /** One attempt to leave doubt or a pause, when it is due. */
  async function tendClosed(signal: AbortSignal): Promise<'fenced' | 'done'> {
    const waitMs = gate.retryAtMs - performance.now();
    if (waitMs > 0 && !comparing.adopting) {
      await kick.wait(Math.min(waitMs, RETRY_AT_MOST_MS), signal);
      if (gate.retryAtMs > performance.now()) return 'done';
    }
    await watchers.until(() => !drafter.busy, signal);
    if (signal.aborted) return 'done';
    const outcome = await comparing.attempt(signal);
    if (outcome === 'fenced') return 'fenced';
    ended = outcome === 'ended';
    changed();
    if (outcome === 'flowing') context.wake();
    else if (comparing.adopting) await kick.wait(RETRY_AT_MOST_MS, signal);
    return 'done';
  }

  async function tendOnce(signal: AbortSignal): Promise<'fenced' | 'done'> {
    if ((await writeFates()) === 'fenced') return 'fenced';
    return flows() ? tendFlowing() : tendClosed(signal);
  }

  return {
    stream,
    get state() {
      return gate.state;
    },
    get obstacle() {
      return gate.obstacle;
    },
    get pending() {
      return outlet.pending;
    },
    get inFlight() {
      return outlet.inFlight;
    },
    get settled() {
      return { stream, settledTo: outlet.settledTo, settledBatch: outlet.settledBatch };
    },
    get oldest() {
      return outlet.oldest;
    },
    get ready() {
      return flows() && hasRoom() && (!drafter.repeatsWait || outlet.pending === 0);
    },
    until: watchers.until,
    draft: drafter.draft,
    async repeat(request) {
      if (!flows()) return 'later';
      // What made an operator try again may be a limit that was raised a moment ago.
      const prepared = await prepare({ provision: false, planned: true });
      if (prepared.kind === 'fit' && prepared.state.created === known?.state.created) know(prepared.state);
      const written = drafter.repeat(request, AbortSignal.timeout(REPEAT_PATIENCE_MS));
      context.wake();
      return written;
    },
    async tend(signal) {
      while (!signal.aborted) {
        await watchers.until(isDue, signal);
        if (!signal.aborted && (await tendOnce(signal)) === 'fenced') return 'fenced';
      }
      return 'stopped';
    },
    async probe() {
      if (!flows() || !link.connected || ended) return;
      restsAt = log.lastBatch;
      if (isUnsaid()) context.wake();
      const { expectedEnd, settledTo } = outlet;
      const prepared = await prepare({ provision: false, planned: true });
      if (prepared.kind === 'unfit') return gate.doubt('the stream could not be looked up');
      const { created, lastSequence } = prepared.state;
      if (created !== known?.state.created) return gate.doubt('the stream was made anew');
      know(prepared.state);
      if (lastSequence < (settledTo ?? 0)) gate.doubt('the stream has lost its tail');
      else if (
        expectedEnd !== undefined &&
        outlet.expectedEnd === expectedEnd &&
        lastSequence !== expectedEnd
      )
        gate.doubt('the stream has grown or shrunk by other hands');
    },
    rest: async () => (isUnsaid() ? sayAllSettled() : 'planned'),
    adopt(mode, signal) {
      const done = comparing.adopt(mode, signal);
      kick.wake();
      changed();
      return done;
    },
    get ended() {
      return ended;
    },
    get stranded() {
      return letters.stranded;
    },
    discarded: (positions) => letters.discarded(positions),
    close() {
      drafter.close();
      comparing.close();
      outlet.close();
    },
  };
}
