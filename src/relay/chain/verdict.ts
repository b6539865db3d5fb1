import type { ReadBack } from '../../jetstream/index.ts';
import type { Placement, PlannedSlot } from '../lane/placement.ts';
import type { PlannedMessage } from '../lane/planned-message.ts';

/** What reading the stream back says about the plan. */
export interface Verdict {
  /** Sequences that hold what was planned, or held it: what is gone already counts as ours. */
  readonly ours: readonly number[];
  /** Events stored elsewhere than planned, or in a slot that was meant for their marker. */
  readonly found: readonly Found[];
  /** Sequences taken by other writers. */
  readonly foreign: readonly number[];
  /** Events whose slot holds something else and that were found nowhere. */
  readonly displaced: readonly PlannedMessage[];
}

export interface Found {
  readonly position: number;
  readonly sequence: number;
  readonly eventId: string | null;
}

export interface Evidence {
  /**
   * False: what is gone at this sequence was never acknowledged and cannot have been deleted for being consumed, so the
   * server has used the sequence up and kept nothing. Default: it was.
   */
  readonly wasStored?: (sequence: number) => boolean;
  /** Sequences of messages under another subject than their event's: copies, which say nothing of the event itself. */
  readonly copies?: ReadonlySet<number>;
}

export function judge(
  placement: Placement,
  messages: readonly ReadBack[],
  source: string,
  { wasStored = () => true, copies = NONE }: Evidence = {},
): Verdict {
  const ours: number[] = [];
  const found: Found[] = [];
  const foreign: number[] = [];
  const lost: PlannedMessage[] = [];
  for (const message of messages) {
    const { sequence } = message;
    const slot = placement.slots.get(sequence);
    const what =
      message.kind === 'gone' && slot?.what === 'event' && !wasStored(sequence)
        ? 'known'
        : identify(placement, message, { source, copies });
    if (what === 'planned') ours.push(sequence);
    else if (slot?.what === 'event') {
      const { position, replay, prefix } = slot;
      lost.push({ position, replay, prefix });
    }
    if (what === 'foreign') foreign.push(sequence);
    else if (what !== 'planned' && what !== 'known') found.push(what);
  }
  const elsewhere = new Set(found.map(({ position }) => position));
  return {
    ours,
    found,
    foreign,
    displaced: lost
      .filter(({ position, replay }) => replay || !elsewhere.has(position))
      .sort((a, b) => a.position - b.position),
  };
}

const NONE: ReadonlySet<number> = new Set();

type Stored = Extract<ReadBack, { kind: 'message' }>;

/** What was planned, nobody's business, another writer's message, or an event out of its place. */
function identify(
  placement: Placement,
  message: ReadBack,
  { source, copies }: { source: string; copies: ReadonlySet<number> },
): 'planned' | 'known' | 'foreign' | Found {
  const { sequence } = message;
  const slot = placement.slots.get(sequence);
  if (message.kind === 'gone') return slot === undefined || slot.what === 'void' ? 'known' : 'planned';
  const { position, eventId } = message;
  if (message.source !== source || position === null) return 'foreign';
  const isCopy = copies.has(sequence);
  if (slot?.position === position && isUnderItsSubject(slot, message, isCopy))
    return identifyInSlot(slot, message);
  const place = placement.places.get(position);
  if (place === undefined || message.skipped !== null || isCopy) return 'foreign';
  return place === sequence ? 'known' : { position, sequence, eventId };
}

/** Of a copy and its event, which both may be under way, only one was planned for this slot. Markers have a subject of their own. */
function isUnderItsSubject({ prefix }: PlannedSlot, { skipped, subject }: Stored, isCopy: boolean): boolean {
  if (skipped !== null) return true;
  return prefix === null ? !isCopy : subject.startsWith(`${prefix}.`);
}

/** A message of ours in a slot that was planned for its event, for its marker, or for it before it was moved. */
function identifyInSlot(
  { what, position, replay }: PlannedSlot,
  { skipped, sequence, eventId }: Stored,
): 'planned' | 'known' | 'foreign' | Found {
  if (skipped !== null) return what === 'marker' ? 'planned' : 'foreign';
  if (what === 'event') return 'planned';
  if (!replay) return { position, sequence, eventId };
  return what === 'void' ? 'known' : 'planned'; // A copy that was given up, and is there all the same.
}
