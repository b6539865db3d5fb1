import { type AnyEvent, isEventDefinition } from '../contracts/define-event.ts';
import { nameOf } from '../contracts/typed-event.ts';
import { PostcommitError } from '../errors.ts';
import type { StreamDefinition } from '../jetstream/index.ts';

export interface ServiceOptions {
  /** `patient-registry`. */
  readonly name: string;
  /** Of the service, as its releases are numbered. */
  readonly version: string;
  /** Markdown. */
  readonly description?: string;
  /** Ids of teams or users, as EventCatalog knows them. */
  readonly owners?: readonly string[];
  /** Streams that it owns, as for `ensureStream()`. */
  readonly streams?: readonly StreamDefinition[];
  /** Events that it publishes. An event has one publisher. */
  readonly produces?: readonly AnyEvent[];
  readonly consumes?: readonly ConsumedEvents[];
}

/** What one `consume()` handles. */
export interface ConsumedEvents {
  readonly stream: string;
  readonly durable: string;
  readonly events: readonly AnyEvent[];
}

/** A service with the events that it publishes and consumes, for `postcommit catalog`. */
export interface ServiceDefinition extends Required<Omit<ServiceOptions, 'description'>> {
  readonly description: string | undefined;
  readonly [SERVICE]: true;
}

/** The same in every copy of this package: the command line is one, the application's another. */
const SERVICE: unique symbol = Symbol.for('postcommit.service');

/** @throws PostcommitError `config-invalid` */
export function defineService({
  name,
  version,
  description,
  owners = [],
  streams = [],
  produces = [],
  consumes = [],
}: ServiceOptions): ServiceDefinition {
  if (typeof name !== 'string' || !/^[A-Za-z0-9][\w.-]{0,99}$/.test(name))
    throw invalid(
      `its name is not one`,
      'Use letters, digits, dots, dashes and underscores: patient-registry.',
    );
  if (typeof version !== 'string' || version.trim() === '')
    throw invalid(`${name} has no version`, "Write the version of its release: '1.4.0'.");
  for (const event of [...produces, ...consumes.flatMap(({ events }) => events)])
    if (!isEventDefinition(event))
      throw invalid(`${name} lists something that is no event`, 'List what defineEvent() returns.');
  const names = produces.map(nameOf);
  const twice = names.find((each, i) => names.indexOf(each) !== i);
  if (twice !== undefined)
    throw invalid(`${name} produces ${twice} twice`, 'List it once, or give one of them another version.');
  return { name, version, description, owners, streams, produces, consumes, [SERVICE]: true };
}

export function isService(value: unknown): value is ServiceDefinition {
  return typeof value === 'object' && value !== null && SERVICE in value;
}

function invalid(message: string, hint: string): PostcommitError {
  return new PostcommitError('config-invalid', `a service cannot be defined: ${message}`, hint);
}
