import type { Session } from '../../postgres/session.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Lane } from '../lane/lane.ts';
import type { Router } from '../reading/router.ts';

/**
 * What operators ask of the leader, one request after the other. Everything that goes to a stream passes the batch log,
 * so nobody but the leader may publish a retry or a replay. A request that a crash interrupts is taken up again: no retry
 * is planned twice, of a replay at most the portion that was under way.
 */
export interface OperatorContext {
  readonly session: Session;
  readonly epoch: number;
  readonly lanes: readonly Lane[];
  /** Streams that are no lane any more, with something left to do for them. */
  readonly closing: readonly Lane[];
  readonly router: Router;
  readonly logger: Logger;
  /** True once after a lane has handed events over to another one. */
  readonly takeMoved: () => boolean;
  /** Looks for events that reading has passed over; says what it found. */
  readonly audit: () => Promise<Answer>;
}

/** What came of a request, as it is written into its row. */
export type Answer = Readonly<Record<string, unknown>>;

export type Handling =
  | { readonly kind: 'answered'; readonly answer: Answer }
  /** Another epoch leads. */
  | { readonly kind: 'fenced' }
  /** A lane is paused: the request stays, others have their turn. */
  | { readonly kind: 'later' }
  /** There is more to do, in so many milliseconds; meanwhile others have their turn. */
  | { readonly kind: 'unfinished'; readonly dueInMs: number }
  /** The leadership ends: the next one goes on with it. */
  | { readonly kind: 'abandoned' };

export function answered(answer: Answer): Handling {
  return { kind: 'answered', answer };
}
