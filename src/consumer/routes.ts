import type { AnyEvent } from '../contracts/define-event.ts';
import { type DataOf, isEvent, type ParametersIn, readEvent } from '../contracts/read-event.ts';
import { nameOf } from '../contracts/typed-event.ts';
import { describeIssues } from '../contracts/validate.ts';
import type { ConsumedEvent } from '../jetstream/index.ts';
import { Reject } from './errors.ts';
import type { Handler, HandlerContext } from './options.ts';

/** An event whose payload is what its definition says. */
export interface ReadEvent<Definition extends AnyEvent = AnyEvent> extends ConsumedEvent {
  readonly data: DataOf<Definition>;
  /** What stands in the places of `{…}` in its subject; undefined where it came on another one (a replay with a prefix). */
  readonly parameters: Partial<ParametersIn<Definition>>;
}

export type EventHandler<Definition extends AnyEvent, Tx> = (
  event: ReadEvent<Definition>,
  context: HandlerContext<Tx>,
) => Promise<void> | void;

/** One event and what is done about it: for `route()`. */
export interface Route<Tx> {
  readonly definition: AnyEvent;
  readonly handle: Handler<Tx>;
}

/**
 * Handles one event, in one version. A payload that does not match its schema never comes to the handler: it is a dead letter at
 * once, with what is wrong with it.
 */
export function on<Definition extends AnyEvent, Tx>(
  definition: Definition,
  handler: EventHandler<Definition, Tx>,
): Route<Tx> {
  return {
    definition,
    handle: async (event, context) => handler(await readAs(definition, event), context),
  };
}

/**
 * The event with its data, for handlers that are not routed, such as those of `consumeBatches()`.
 *
 * @throws Reject if the payload does not match.
 */
export async function readAs<Definition extends AnyEvent>(
  definition: Definition,
  event: ConsumedEvent,
): Promise<ReadEvent<Definition>> {
  const reading = await readEvent(definition, event);
  if (reading.kind === 'invalid')
    throw new Reject(
      `the payload does not match the schema of ${nameOf(definition)}: ${describeIssues(reading.issues)}`,
    );
  const { data, parameters } = reading;
  return { ...event, data, parameters };
}

export interface RouteOptions<Tx> {
  /**
   * What has no route, another version among it: `ignore` (default) lets it pass, as consumers do that care for some of a
   * stream's events; `reject` makes a dead letter of it.
   */
  readonly otherwise?: 'ignore' | 'reject' | Handler<Tx>;
}

/** A handler for `consume()` that hands each event to its route. @throws TypeError for two routes of one event. */
export function route<Tx>(
  routes: readonly Route<Tx>[],
  { otherwise = 'ignore' }: RouteOptions<Tx> = {},
): Handler<Tx> {
  const names = routes.map(({ definition }) => nameOf(definition));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined)
    throw new TypeError(`${twice} has two routes: an event has one handler in a consumer`);
  return (event, context) => {
    const found = routes.find(({ definition }) => isEvent(definition, event));
    if (found !== undefined) return found.handle(event, context);
    if (typeof otherwise === 'function') return otherwise(event, context);
    if (otherwise === 'reject')
      throw new Reject(`there is no route for it here, only for ${names.join(', ')}`);
  };
}
