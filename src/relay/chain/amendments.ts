import type { Batch } from '../../batch-log/batch.ts';
import { rangesOf } from '../../postgres/position-ranges.ts';
import type { LaneLetters } from '../lane/lane-letters.ts';
import type { LaneLog } from '../lane/lane-log.ts';
import { byPrefix, type PlannedMessage } from '../lane/planned-message.ts';
import type { Reconciliation, Refill } from './reconcile.ts';

/** What a reconciliation adds to the log, and what the slots behind its end are to be filled with because of it. */
export interface Amendments {
  readonly rows: readonly Batch[];
  readonly refill: readonly Refill[];
}

export interface AmendOptions {
  /** What the reconciliation wants refilled, or what a burial made of it. */
  readonly slots: readonly Refill[];
  /** Up to where the log's newest row takes messages for stored. */
  readonly believed: number | null;
}

export function amend(
  log: LaneLog,
  {
    decided,
    settledTo,
    found,
    displaced,
  }: Pick<Reconciliation, 'decided' | 'settledTo' | 'found' | 'displaced'>,
  { slots, believed }: AmendOptions,
): Amendments {
  const changes = rowsOf(log, found, slots);
  const repeats = repeatsOf(log, { decided, displaced }, slots);
  const rows = [...changes, ...repeats.rows];
  const refill = [...slots, ...repeats.refill];
  // The stream has lost what the log calls stored. Every comparison begins where the newest row says: without one that
  // says less, the next would take the end of what is being healed for proof of its beginning.
  if (rows.length === 0 && (settledTo ?? 0) < (believed ?? 0)) {
    const end = decided + refill.length;
    rows.push(log.next({ kind: 'new', first: end + 1, last: end, positions: [] }));
  }
  return { rows, refill };
}

/** Rows about slots that exist: where an event was found, and what is a marker's from now on. */
function rowsOf(log: LaneLog, found: Reconciliation['found'], slots: readonly Refill[]): Batch[] {
  const single = (kind: 'found' | 'marker', sequence: number, position: number) =>
    log.next({ kind, first: sequence, last: sequence, positions: [position, position] });
  return [
    ...found.map(({ sequence, position }) => single('found', sequence, position)),
    ...slots
      .filter(({ unlogged }) => unlogged)
      .map(({ sequence, position }) => single('marker', sequence, position)),
  ];
}

/** What lost its slot gets a new one behind the end of the plan. */
function repeatsOf(
  log: LaneLog,
  { decided: base, displaced }: Pick<Reconciliation, 'decided' | 'displaced'>,
  slots: readonly Refill[],
) {
  const rows: Batch[] = [];
  const more: Refill[] = [];
  for (const kind of ['again', 'replay'] as const) {
    for (const [subjectPrefix, messages] of byPrefix(displaced.filter(isOf(kind)))) {
      const first = base + slots.length + more.length + 1;
      const positions = rangesOf(messages.map(({ position }) => position));
      rows.push(log.next({ kind, first, last: first + messages.length - 1, positions, subjectPrefix }));
      const refill = messages.map(
        (message, i): Refill => ({ ...message, sequence: first + i, what: 'event', unlogged: false }),
      );
      more.push(...refill);
    }
  }
  return { rows, refill: more };
}

function isOf(kind: 'again' | 'replay') {
  return ({ replay }: PlannedMessage) => replay === (kind === 'replay');
}

/** What slots that were settled meanwhile, or by another leader, mean for dead letters. */
export function judgeLetters(
  { decided: base, found, displaced, placement }: Reconciliation,
  letters: Pick<LaneLetters, 'inState' | 'settled'>,
): void {
  const isDecided = (sequence: number | undefined) => sequence === undefined || sequence <= base;
  const again = new Set(displaced.map(({ position }) => position));
  for (const { position } of found) letters.settled(position, 'event');
  for (const position of letters.inState('marking')) {
    const marker = placement.markers.get(position);
    const place = marker ?? placement.places.get(position);
    // The log may say that the event was found, and whoever wrote that may have died before its letter said so.
    if (isDecided(place))
      letters.settled(position, marker === undefined && place !== undefined ? 'event' : 'marker');
  }
  for (const position of letters.inState('retrying'))
    if (isDecided(placement.places.get(position)) && !again.has(position)) letters.settled(position, 'event');
}
