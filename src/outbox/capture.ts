import type { StoredEvent } from '../event.ts';
import {
  complementOf,
  differenceOf,
  type PositionRanges,
  rangesOf,
  unionOf,
} from '../postgres/position-ranges.ts';
import type { Session } from '../postgres/session.ts';
import { createGaps, type GapLook, type Gaps } from './gaps.ts';
import { type Holders, listHolders } from './holders.ts';
import type { LeafRanges } from './leaf-rows.ts';
import { createLiveSegments, type LiveSegments, SEGMENTS } from './live-segments.ts';
import { highestPosition, type ReadResult, readEvents } from './read.ts';

/**
 * Capture: finds every committed event once, in an order that keeps cause before effect.
 *   R1  Each read takes the lowest visible positions not yet planned, in one snapshot; they are planned in that order.
 *   R2  The cursor passes invisible rows only up to the sequence's last value that the same statement brought back,
 *       and only if the limit cut nothing off. What it passes is a gap.
 *   R3  Nothing here outlives its database session: a new one starts from the batch log.
 *   R4  No listing between a look's begin and its acceptance: the look would close gaps that it began too early for (C1).
 */
export interface Capture {
  /** Looks for events; changes nothing until the look is accepted. */
  look(): Promise<Look>;
  /** The look's events are being planned (or it has none): the next look goes on behind it. */
  accept(look: Look): void;
  /** Lists the transactions that hold the insert lock, and learns from it which gaps can be closed. */
  list(): Promise<Holders>;
  /** A listing would teach something, and the last one is long enough ago. */
  listingDue(nowMs: number): boolean;
  /** Inserts go to this leaf from now on; called before the switch. */
  addSegment(segment: number): void;
  /**
   * Rows that were passed over become gaps again, and the next looks find them. Returns which; what will be read anyway
   * (in a gap, above the cursor in a leaf that is read) is left alone, so calling it again changes nothing. Only for
   * rows of which it is certain that no plan names them and none that was accepted is about to: they would be published
   * twice. A look that is under way does not matter, it has none of them.
   */
  reopen(leaves: readonly LeafRanges[]): PositionRanges;
  /** The position was not read yet and may still turn up. */
  isOpen(position: number): boolean;
  /** Another reader that goes on from here; to be called while no look is under way. */
  fork(): Capture;
  readonly state: CaptureState;
}

export interface CaptureState {
  /** Highest position looked at. */
  readonly cursor: number;
  /** Lowest position that may still turn up. */
  readonly openFrom: number;
  readonly gapsOpen: number;
  /** The leaf that inserts go to, as of the last look. */
  readonly segment: number;
  /** Leaves being read. */
  readonly liveSegments: readonly number[];
}

export interface Look {
  readonly events: readonly StoredEvent[];
  /** More was visible than the limit let through. */
  readonly cut: boolean;
  /** The batch row's `read_to`: highest position looked at. */
  readonly readTo: number;
  /** The batch row's `open_from`: lowest gap once this look is accepted, else `readTo + 1`. */
  readonly openFrom: number;
  readonly gaps: GapLook;
  readonly result: ReadResult;
  /** The listings before it (R4). */
  readonly listings: number;
}

export interface CaptureStart {
  /** Everything up to here was looked at before. */
  readonly cursor: number;
  /** Positions at or below the cursor that no plan holds. */
  readonly gaps: PositionRanges;
}

/** A listing looks at every lock of the server. With many gaps it pays to do it sooner. */
const LIST_EVERY_MS = 400;
const LIST_MANY_EVERY_MS = 50;
const MANY_GAPS = 100;
const READ_LIMIT = 1_000;
const READ_LIMIT_MANY_GAPS = 8_000;
/** Above so many gaps a bulk transaction has ended: read more at once, or draining would be quadratic. */
const VERY_MANY_GAPS = 4_000;

export function createCapture(session: Session, { cursor, gaps }: CaptureStart): Capture {
  return captureFrom(session, {
    cursor,
    gaps: createGaps(gaps),
    segments: createLiveSegments(),
    currentSegment: 0,
  });
}

interface Place {
  readonly cursor: number;
  readonly gaps: Gaps;
  readonly segments: LiveSegments;
  readonly currentSegment: number;
}

function captureFrom(session: Session, place: Place): Capture {
  const { gaps, segments } = place;
  let { cursor, currentSegment } = place;
  let [cutBefore, many, large] = [false, false, false];
  let listedAtMs = Number.NEGATIVE_INFINITY;
  let listings = 0;
  /** The listings before the last look. */
  let lookedAfter = 0;

  async function list(): Promise<Holders> {
    listings++;
    const holders = await listHolders(session);
    listedAtMs = performance.now();
    gaps.listed(holders);
    segments.listed(holders);
    await measureLeft(session, segments);
    segments.drop(gaps.lowest ?? cursor + 1);
    return holders;
  }

  return {
    async look() {
      const begun = listings;
      const before = { cursor, cutBefore, many, large, listedSince: begun !== lookedAfter };
      const { look, result, relisted } = await readWhole({ session, gaps, segments, list, ...before });
      lookedAfter = begun + relisted;
      large = result.large;
      const readTo = reach({ look, result, cursor });
      const openFrom = lowestGap({ gaps, result, cursor, readTo });
      return {
        events: result.events,
        cut: result.cut,
        readTo,
        openFrom,
        gaps: look,
        result,
        listings: lookedAfter,
      };
    },
    accept(look) {
      const { result, readTo, listings: listed } = look;
      if (listed !== listings) throw new Error('the holders were listed during a look'); // R4
      absorb(gaps, look, cursor);
      cursor = readTo;
      currentSegment = result.segment;
      segments.current(result.segment);
      cutBefore = result.cut; // Not `look.cutOff`: lowest gaps that bring nothing would hold up everything else.
      many = result.cut || look.gaps.cutOff;
    },
    list,
    listingDue(nowMs) {
      if (gaps.count === 0 && !segments.retiring) return false;
      const every = gaps.count > MANY_GAPS ? LIST_MANY_EVERY_MS : LIST_EVERY_MS;
      return nowMs - listedAtMs >= every;
    },
    addSegment: (segment) => segments.add(segment),
    reopen: (leaves) => reopenPassed({ gaps, segments, cursor }, leaves),
    isOpen: (position) => position > cursor || gaps.has(position),
    fork: () =>
      captureFrom(session, { cursor, gaps: gaps.fork(), segments: segments.fork(), currentSegment }),
    get state() {
      return {
        cursor,
        openFrom: gaps.lowest ?? cursor + 1,
        gapsOpen: gaps.count,
        segment: currentSegment,
        liveSegments: segments.live,
      };
    },
  };
}

interface ReadContext {
  readonly session: Session;
  readonly gaps: Gaps;
  readonly segments: LiveSegments;
  readonly list: () => Promise<Holders>;
  readonly cursor: number;
  /** The limit cut the last read off: there is much to read. */
  readonly cutBefore: boolean;
  /** It was cut off, or had to leave out what lies beyond the cursor. */
  readonly many: boolean;
  /** It met large payloads. */
  readonly large: boolean;
  /** The first look since a listing. */
  readonly listedSince: boolean;
}

async function measureLeft(session: Session, segments: LiveSegments): Promise<void> {
  for (const segment of segments.unmeasured()) {
    segments.measured(segment, await highestPosition(session, segment));
  }
}

function reopenPassed(
  { gaps, segments, cursor }: { gaps: Gaps; segments: LiveSegments; cursor: number },
  leaves: readonly LeafRanges[],
): PositionRanges {
  const open = gaps.ranges;
  const above = [cursor + 1, Number.MAX_SAFE_INTEGER];
  const closed: PositionRanges[] = [];
  const passed: PositionRanges[] = [];
  for (const { segment, ranges } of leaves) {
    const notOpen = differenceOf(ranges, open);
    const below = differenceOf(notOpen, above);
    closed.push(below);
    passed.push(segments.live.includes(segment) ? below : notOpen);
    segments.revive(segment);
  }
  gaps.reopen(unionOf(closed));
  return unionOf(passed);
}

/** What a look that was accepted says about gaps: the old ones it looked into, and what it passed unseen beyond the cursor. */
export function absorb(
  gaps: Gaps,
  { gaps: look, result, readTo, events }: Pick<Look, 'gaps' | 'result' | 'readTo' | 'events'>,
  cursor: number,
): void {
  const old = events.filter((event) => event.position <= cursor).map((event) => event.position);
  const fresh = events.filter((event) => event.position > cursor).map((event) => event.position);
  gaps.looked(look, lookedUpTo(look, result), old);
  gaps.add(complementOf(rangesOf(fresh), cursor + 1, readTo));
}

/**
 * Repeats the read while its own snapshot shows that it left something out. If that are gaps of a transaction that has
 * ended, a listing tells which need a look; if another one has ended meanwhile, the read looks into all.
 */
async function readWhole(
  context: ReadContext,
): Promise<{ look: GapLook; result: ReadResult; relisted: number }> {
  let { listedSince } = context;
  let [everything, relisted] = [false, 0];
  for (let reads = 0; reads <= SEGMENTS.length + 2; reads++) {
    const read = await readOnce({ ...context, listedSince }, everything);
    const { segment, straySegments, gateOpened } = read.result;
    const leftOut = straySegments.filter((stray) => !read.segments.includes(stray));
    const elsewhere = !read.segments.includes(segment);
    if (elsewhere) context.segments.add(segment);
    for (const stray of leftOut) context.segments.revive(stray);
    const allLeaves = !elsewhere && leftOut.length === 0;
    if (allLeaves && !gateOpened) return { look: read.look, result: read.result, relisted };
    if (allLeaves && relisted === 0) {
      await context.list(); // R4: the look begins with the read that follows.
      relisted = 1;
      listedSince = true;
    } else everything = true;
  }
  throw new Error('a look found other leaves again and again');
}

async function readOnce(context: ReadContext, everything: boolean) {
  const { session, gaps, segments, cursor, cutBefore, many, large, listedSince } = context;
  const limit = gaps.count > VERY_MANY_GAPS ? READ_LIMIT_MANY_GAPS : READ_LIMIT;
  // Behind a cut-off read the lowest gaps alone fill the next one.
  const look = gaps.lookInto({ everything, atMost: cutBefore ? 2 * limit : Number.POSITIVE_INFINITY });
  const { ranges, cutOff: gapsOnly, gate } = look;
  const { live } = segments;
  const strays = live.length === SEGMENTS.length ? null : strayRange(look, { gaps, cursor, listedSince });
  const result = await readEvents(session, {
    cursor,
    gaps: ranges,
    gapsOnly,
    gate,
    segments: live,
    strays,
    limit,
    many,
    large,
  });
  return { look, result, segments: live };
}

/**
 * Where rows may lie in leaves that are not read: their inserts went there by a stranger's switch that no look has seen,
 * or straight into the leaf. Looked for before a gap is closed (C1), and once a listing, so that they do not wait for
 * others' transactions.
 */
function strayRange(
  look: GapLook,
  { gaps, cursor, listedSince }: Pick<ReadContext, 'gaps' | 'cursor' | 'listedSince'>,
): GapLook['closing'] {
  const { lowest } = gaps;
  return listedSince && lowest !== undefined ? { from: lowest, to: cursor } : look.closing;
}

/** The lowest gap once a look is accepted. Too low is safe: recovery then looks further than it must. */
export function lowestGap(read: { gaps: Gaps; result: ReadResult; cursor: number; readTo: number }): number {
  const { gaps, result, cursor, readTo } = read;
  const seen = rangesOf(result.events.map((event) => event.position));
  const [firstNew] = complementOf(seen, cursor + 1, readTo);
  return gaps.lowest ?? firstNew ?? readTo + 1;
}

/** How far the cursor may go (R2). */
export function reach(read: { look: GapLook; result: ReadResult; cursor: number }): number {
  const { look, result, cursor } = read;
  const highest = result.events.at(-1)?.position ?? 0;
  if (look.cutOff) return cursor;
  if (result.cut) return Math.max(cursor, highest);
  return Math.max(cursor, result.lastPosition, highest);
}

/** Up to which position the look into the gaps was complete. */
function lookedUpTo(look: GapLook, result: ReadResult): number {
  const limits = [Number.POSITIVE_INFINITY];
  if (result.cut) limits.push(result.events.at(-1)?.position ?? 0);
  if (look.cutOff) limits.push(look.ranges.at(-1) ?? 0);
  return Math.min(...limits);
}
