import { nameOf } from '../contracts/typed-event.ts';
import type { CatalogEvent, CatalogService } from './model.ts';
import { misfitsOf } from './schema-fit.ts';

/** What is wrong among services, each of which is right by itself. */
export interface Conflict {
  readonly kind: 'two-producers' | 'no-producer' | 'unreadable';
  readonly event: string;
  readonly services: readonly string[];
  readonly message: string;
}

/**
 * An event has one publisher, and its consumers can read what that writes. Events that nobody here publishes are told as well:
 * their service may be missing in what was compared.
 */
export function conflictsAmong(services: readonly CatalogService[]): readonly Conflict[] {
  const producers = new Map<string, { readonly service: string; readonly event: CatalogEvent }[]>();
  for (const { name, produces } of services)
    for (const event of produces)
      producers.set(event.type, [...(producers.get(event.type) ?? []), { service: name, event }]);
  const twice = [...producers].flatMap(([type, found]) => {
    const names = [...new Set(found.map(({ service }) => service))];
    return names.length < 2 ? [] : [twoProducers(type, names)];
  });
  const consumed = services.flatMap(({ name, consumes }) =>
    consumes.flatMap(({ durable, events }) => events.map((event) => ({ service: name, durable, event }))),
  );
  return [
    ...twice,
    ...consumed.flatMap(({ service, durable, event }) => {
      const known = producers.get(event.type)?.find((each) => each.event.version === event.version);
      if (known === undefined) return [noProducer(event, service)];
      return unreadable({ reader: event, writer: known.event, services: [known.service, service], durable });
    }),
  ];
}

function twoProducers(type: string, services: readonly string[]): Conflict {
  return {
    kind: 'two-producers',
    event: type,
    services,
    message: `${services.join(' and ')} both publish it: an event has one publisher, who alone says what it means`,
  };
}

function noProducer(event: CatalogEvent, service: string): Conflict {
  return {
    kind: 'no-producer',
    event: nameOf(event),
    services: [service],
    message: `${service} consumes it, and none of these services publishes it`,
  };
}

function unreadable({
  reader,
  writer,
  services,
  durable,
}: {
  readonly reader: CatalogEvent;
  readonly writer: CatalogEvent;
  readonly services: readonly string[];
  readonly durable: string;
}): Conflict[] {
  return misfitsOf(writer.schema, reader.schema).map(({ path, detail }) => ({
    kind: 'unreadable',
    event: nameOf(reader),
    services,
    message: `${durable} of ${services[1]} would refuse what ${services[0]} writes: ${path === '' ? 'it' : path} ${detail}`,
  }));
}
