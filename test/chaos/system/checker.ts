import { createHash } from 'node:crypto';
import { faultsOf, type History, type LogRow, type StreamMessage } from '../../support/stream-history.ts';

/** What the business says that it committed. */
export interface LedgerEntry {
  readonly id: string;
  readonly key: string;
  /** Each change of a patient counts it up by one, in the order of commits. */
  readonly version: number;
  readonly subject: string;
  /** MD5 of the payload. */
  readonly digest: string;
  /** Its transaction. */
  readonly committedIn: number;
  /** Every transaction below this one was over when the event's statement began. */
  readonly begunAfter: number;
}

export interface Letter {
  readonly id: string;
  readonly state: string;
  readonly outcome: string;
  readonly reason: string;
}

/** Everything that was counted after a run, when nothing moves any more. */
export interface Evidence {
  readonly ordering: 'stream' | 'key' | 'none';
  readonly ledger: readonly LedgerEntry[];
  readonly messages: readonly StreamMessage[];
  /** Ids of effects in the order in which they happened. */
  readonly effects: readonly string[];
  /** Of the relay, in any state. */
  readonly letters: readonly Letter[];
  /** Positions of events that had to leave their place: a stranger took it, a tail was lost, or they were dead for a while. */
  readonly displaced: readonly number[];
  readonly log: readonly LogRow[];
  /** Where nothing was pruned: the whole outbox, to audit the log row by row. */
  readonly history: History | undefined;
  readonly writersRefused: readonly string[];
  readonly peakMiB: number;
  /** Set when the system was not done in time, once everything was mended: how long it was waited for. */
  readonly lateMs: number | undefined;
}

const PEAK_MIB = 450;
/** What dead letters say of events that are too large for the stream at that moment, or wait behind such a one. */
const RIGHTLY_DEAD = new Set(['refused', 'held']);
const SHOWN = 3;

/** What does not hold, in words that begin with the guarantee; empty when all do. */
export function violationsOf(evidence: Evidence): string[] {
  const ours = evidence.messages.filter(({ source, skipped }) => source !== '' && skipped === '');
  return [
    ...stored(evidence, ours),
    ...once(evidence, ours),
    ...inOrder(evidence, ours),
    ...inTotalOrder(evidence, ours),
    ...oneEffect(evidence),
    ...effectsInOrder(evidence),
    ...unharmed(evidence),
    ...audited(evidence),
  ];
}

function stored({ ledger, lateMs }: Evidence, ours: readonly StreamMessage[]): string[] {
  const byId = new Map(ledger.map((entry) => [entry.id, entry]));
  const seen = new Set(ours.map(({ eventId }) => eventId));
  const lost = ledger.filter(({ id }) => !seen.has(id));
  const phantoms = ours.filter(({ eventId }) => !byId.has(eventId));
  const changed = ours.filter((message) => {
    const entry = byId.get(message.eventId);
    return entry && (entry.subject !== message.subject || entry.digest !== digestOf(message.payload));
  });
  return [
    ...(lateMs === undefined
      ? []
      : [`liveness: not everything was stored ${lateMs} ms after all was mended`]),
    ...several(
      'G1 loss',
      lost,
      ({ id, key, version }) => `${key} version ${version} (${id}) is not in the stream`,
    ),
    ...several(
      'G2 phantom',
      phantoms,
      ({ eventId, sequence }) => `${eventId} at ${sequence} was never committed`,
    ),
    ...several(
      'changed',
      changed,
      ({ eventId, sequence }) => `${eventId} at ${sequence} is not as it was written`,
    ),
  ];
}

function once({ ordering }: Evidence, ours: readonly StreamMessage[]): string[] {
  const at = new Map<string, number>();
  const twice = ours.filter(({ eventId, sequence }) => {
    const before = at.get(eventId);
    at.set(eventId, before ?? sequence);
    return before !== undefined;
  });
  return several(
    `G3 twice in the stream (${ordering})`,
    twice,
    ({ eventId, sequence }) => `${eventId} at ${at.get(eventId)} and ${sequence}`,
  );
}

/** Versions of a patient rise. What had to leave its place is excused. */
function inOrder(evidence: Evidence, ours: readonly StreamMessage[]): string[] {
  const { ordering, ledger } = evidence;
  if (ordering === 'none') return [];
  const versions = new Map(ledger.map(({ id, key, version }) => [id, { key, version }]));
  const displaced = new Set(evidence.displaced);
  const last = new Map<string, { version: number; sequence: number }>();
  const behind: string[] = [];
  for (const { eventId, position, sequence } of ours) {
    const entry = versions.get(eventId);
    if (entry === undefined || displaced.has(position)) continue;
    const before = last.get(entry.key);
    if (before !== undefined && before.version > entry.version)
      behind.push(
        `${entry.key}: version ${entry.version} at ${sequence} behind version ${before.version} at ${before.sequence}`,
      );
    last.set(entry.key, { version: entry.version, sequence });
  }
  return several('G4 order', behind, (text) => text);
}

/**
 * What was committed before another event was written comes before it: told from snapshots of the writers, not from
 * positions, which are the relay's own measure.
 */
function inTotalOrder({ ordering, ledger, displaced }: Evidence, ours: readonly StreamMessage[]): string[] {
  if (ordering !== 'stream') return [];
  const entries = new Map(ledger.map((entry) => [entry.id, entry]));
  const excused = new Set(displaced);
  const behind: string[] = [];
  let last = { begunAfter: 0, sequence: 0 };
  for (const { eventId, position, sequence } of ours) {
    const entry = entries.get(eventId);
    if (entry === undefined || excused.has(position)) continue;
    const { committedIn, begunAfter } = entry;
    if (committedIn < last.begunAfter)
      behind.push(`${eventId} at ${sequence} was committed before that at ${last.sequence} was written`);
    if (begunAfter > last.begunAfter) last = { begunAfter, sequence };
  }
  return several('G4 total order', behind, (text) => text);
}

function oneEffect({ effects, ledger, lateMs }: Evidence): string[] {
  const counts = new Map<string, number>();
  for (const id of effects) counts.set(id, (counts.get(id) ?? 0) + 1);
  const expected = ledger.filter(({ subject }) => subject.includes('.patient.'));
  const ids = new Set(ledger.map(({ id }) => id));
  const more = [...counts].filter(([, count]) => count > 1);
  const without = lateMs === undefined ? expected.filter(({ id }) => !counts.has(id)) : [];
  // A stranger's messages are consumed as well; they have no version.
  const invented = [...counts.keys()].filter((id) => !ids.has(id) && UUID.test(id));
  return [
    ...several('G5 effects', more, ([id, count]) => `${id} had ${count} effects`),
    ...several('G5 effects', without, ({ id, key, version }) => `${key} version ${version} (${id}) had none`),
    ...several('G2 phantom', invented, (id) => `${id} had an effect and was never committed`),
  ];
}

/** The consumer keeps the order of each patient, whatever happens to its instances. */
function effectsInOrder({ effects, ledger, messages, displaced }: Evidence): string[] {
  const entries = new Map(ledger.map((entry) => [entry.id, entry]));
  const places = new Set(displaced);
  const excused = new Set(
    messages.filter(({ position }) => places.has(position)).map(({ eventId }) => eventId),
  );
  const last = new Map<string, number>();
  const behind: string[] = [];
  for (const id of effects) {
    const entry = entries.get(id);
    if (!entries.delete(id) || entry === undefined || excused.has(id)) continue;
    const before = last.get(entry.key) ?? 0;
    if (before > entry.version) behind.push(`${entry.key}: version ${entry.version} after version ${before}`);
    last.set(entry.key, entry.version);
  }
  return several('G5 order of effects', behind, (text) => text);
}

const UUID = /^[0-9a-f]{8}-[0-9a-f-]{27}$/;

function unharmed({ writersRefused, letters, peakMiB }: Evidence): string[] {
  const wronged = letters.filter(({ outcome }) => !RIGHTLY_DEAD.has(outcome));
  const open = letters.filter(({ state }) => state !== 'resolved');
  return [
    ...several('G6 writers', writersRefused, (text) => text),
    ...several(
      'G7 poison',
      wronged,
      ({ id, outcome, reason }) => `${id} is a dead letter (${outcome}): ${reason}`,
    ),
    ...several('dead letters', open, ({ id, state }) => `${id} was retried and is ${state}`),
    ...(peakMiB > PEAK_MIB ? [`memory: a relay took ${Math.round(peakMiB)} MiB`] : []),
  ];
}

/** Fencing and places: batch numbers without holes, epochs that never go back, everything where the log puts it. */
function audited({ history, log }: Evidence): string[] {
  const epochs = log.filter((row, i) => i > 0 && row.epoch < (log[i - 1]?.epoch ?? 0));
  return [
    ...several(
      'fencing',
      epochs,
      ({ batch, epoch }) => `batch ${batch} is of epoch ${epoch}, behind a later one`,
    ),
    ...several('audit', history === undefined ? [] : faultsOf(history), (text) => text),
  ];
}

function several<T>(title: string, items: readonly T[], describe: (item: T) => string): string[] {
  if (items.length === 0) return [];
  const shown = items.slice(0, SHOWN).map(describe).join('; ');
  return [`${title}: ${items.length}: ${shown}${items.length > SHOWN ? ' …' : ''}`];
}

function digestOf(payload: string): string {
  return createHash('md5').update(payload).digest('hex');
}
