import { nameOf } from '../contracts/typed-event.ts';
import type { Misfit, MisfitKind } from './misfit.ts';
import type { CatalogEvent, CatalogService } from './model.ts';
import { misfitsOf } from './schema-fit.ts';

/** What a change of an event breaks. */
export interface BreakingChange {
  readonly kind: ChangeKind;
  /** `patient.registered version 1`. */
  readonly event: string;
  /** Of the payload; empty where it is not about one property. */
  readonly path: string;
  /** What changed, and whom that breaks. */
  readonly message: string;
}

export const CHANGE_KINDS = [
  'event-removed',
  'subject-changed',
  'key-changed',
  'stream-changed',
  'retention-changed',
  'property-removed',
  'property-optional',
  'property-added',
  'property-required',
  'property-refused',
  'type-changed',
  'value-added',
  'value-removed',
  'limit-loosened',
  'limit-tightened',
  'format-changed',
  'unclear',
] as const;
export type ChangeKind = (typeof CHANGE_KINDS)[number];

/**
 * What breaks between two states of the same services. An event has two kinds of readers: consumers that still have the old
 * schema get what is written now, and consumers with the new one get what is in the stream already (or comes by a replay).
 * Neither may refuse anything. A version of its own is the way to change an event otherwise.
 */
export function breakingChanges(
  before: readonly CatalogService[],
  after: readonly CatalogService[],
): readonly BreakingChange[] {
  const now = new Map(producedBy(after).map((event) => [nameOf(event), event]));
  return [
    ...producedBy(before).flatMap((event) => {
      const successor = now.get(nameOf(event));
      return successor === undefined ? [removed(event)] : changesOf(event, successor);
    }),
    ...changedStreams(before, after),
  ];
}

function producedBy(services: readonly CatalogService[]): CatalogEvent[] {
  return services.flatMap(({ produces }) => produces);
}

function removed(event: CatalogEvent): BreakingChange {
  return {
    kind: 'event-removed',
    event: nameOf(event),
    path: '',
    message: 'nobody publishes it any more; its consumers wait for ever',
  };
}

function changesOf(before: CatalogEvent, after: CatalogEvent): BreakingChange[] {
  const event = nameOf(before);
  const facts: BreakingChange[] = [];
  const compare = (kind: ChangeKind, [was, is]: readonly [string, string], what: string) => {
    if (was !== is) facts.push({ kind, event, path: '', message: `${what} was ${was} and is ${is}` });
  };
  compare('subject-changed', [before.subject, after.subject], 'its subject, which consumers filter by,');
  compare(
    'key-changed',
    [before.key ?? 'none', after.key ?? 'none'],
    'its key, by which it keeps its order,',
  );
  compare(
    'stream-changed',
    [before.stream ?? 'none', after.stream ?? 'none'],
    'its stream, which consumers read,',
  );
  return [
    ...facts,
    ...misfitsOf(after.schema, before.schema).map((misfit) => forOldReaders(event, misfit)),
    ...misfitsOf(before.schema, after.schema).map((misfit) => forOldEvents(event, misfit)),
  ];
}

const FOR_OLD_READERS: Readonly<Record<MisfitKind, ChangeKind>> = {
  'property-missing': 'property-removed',
  'property-optional': 'property-optional',
  'property-unknown': 'property-added',
  type: 'type-changed',
  value: 'value-added',
  limit: 'limit-loosened',
  format: 'format-changed',
  unclear: 'unclear',
};

const FOR_OLD_EVENTS: Readonly<Record<MisfitKind, ChangeKind>> = {
  'property-missing': 'property-required',
  'property-optional': 'property-required',
  'property-unknown': 'property-refused',
  type: 'type-changed',
  value: 'value-removed',
  limit: 'limit-tightened',
  format: 'format-changed',
  unclear: 'unclear',
};

function forOldReaders(event: string, { path, kind, detail }: Misfit): BreakingChange {
  return {
    kind: FOR_OLD_READERS[kind],
    event,
    path,
    message: `consumers with the schema of before: it ${detail}`,
  };
}

function forOldEvents(event: string, { path, kind, detail }: Misfit): BreakingChange {
  return { kind: FOR_OLD_EVENTS[kind], event, path, message: `events that are in the stream: it ${detail}` };
}

/** A work queue or an interest stream forgets what a stream with limits keeps. */
function changedStreams(
  before: readonly CatalogService[],
  after: readonly CatalogService[],
): BreakingChange[] {
  const now = new Map(after.flatMap(({ streams }) => streams).map((stream) => [stream.name, stream]));
  return before
    .flatMap(({ streams }) => streams)
    .flatMap(({ name, retention: was = 'limits' }) => {
      const { retention: is = 'limits' } = now.get(name) ?? { retention: was };
      if (was === is) return [];
      const message = `its retention was ${was} and is ${is}: what it keeps for consumers is not the same`;
      return [{ kind: 'retention-changed' as const, event: `stream ${name}`, path: '', message }];
    });
}
