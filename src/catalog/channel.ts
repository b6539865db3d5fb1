import type { CatalogEvent } from './model.ts';

/** A name that AsyncAPI takes for a component, and every file system for a folder. */
export function plainName(text: string): string {
  return text.replace(/[^\w.-]/g, '_');
}

/** Of the channel of a subject, in every document. */
export function channelIdOf({ subject }: Pick<CatalogEvent, 'subject'>): string {
  return plainName(subject.replace(/[{}]/g, ''));
}

/** Events that share a subject, and so a channel. */
export function bySubject(events: readonly CatalogEvent[]): ReadonlyMap<string, readonly CatalogEvent[]> {
  const found = new Map<string, CatalogEvent[]>();
  for (const event of events) found.set(event.subject, [...(found.get(event.subject) ?? []), event]);
  return found;
}
