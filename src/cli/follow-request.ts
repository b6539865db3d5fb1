import { messageOf, PostcommitError } from '../errors.ts';
import { sleep } from '../lifecycle/abort.ts';
import type { Session } from '../postgres/session.ts';
import { answerOf } from '../requests/requests.ts';

type Result = Readonly<Record<string, unknown>>;

/** How waiting for a request ended. */
export type Followed =
  | { readonly kind: 'finished'; readonly result: Result }
  /** No relay has taken it up. It stays, and is taken up by the next one that leads. */
  | { readonly kind: 'unanswered' }
  /** It was waited for as long as was asked for. */
  | { readonly kind: 'late'; readonly result: Result }
  /** Whoever asked does not wait any longer. */
  | { readonly kind: 'interrupted'; readonly signal: NodeJS.Signals };

export interface FollowOptions {
  readonly request: number;
  /** Default: until it is over. */
  readonly waitMs?: number | undefined;
  /** Ends the waiting; its reason is the signal's name. */
  readonly interrupted: AbortSignal;
  /** What its row says until then. */
  readonly onProgress: (result: Result) => void;
}

const ASK_EVERY_MS = 200;
/** A relay that leads takes a request up within about a second. */
const TAKEN_UP_WITHIN_MS = 30_000;

/**
 * Waits for what comes of a request that takes long.
 * @throws PostcommitError `database-unreachable` when the connection is lost: the request goes on.
 */
export async function followRequest(session: Session, options: FollowOptions): Promise<Followed> {
  const { request, waitMs = Number.POSITIVE_INFINITY, interrupted, onProgress } = options;
  const startedAtMs = performance.now();
  for (;;) {
    const { finished, result } = await answerOf(session, request).catch((error: unknown) => {
      throw session.failed ? lost(request, error) : error;
    });
    if (finished) return { kind: 'finished', result: result ?? {} };
    if (result !== null) onProgress(result);
    const waitedMs = performance.now() - startedAtMs;
    if (interrupted.aborted) return { kind: 'interrupted', signal: interrupted.reason as NodeJS.Signals };
    if (result === null && waitedMs >= Math.min(waitMs, TAKEN_UP_WITHIN_MS)) return { kind: 'unanswered' };
    if (waitedMs >= waitMs) return { kind: 'late', result: result ?? {} };
    await sleep(ASK_EVERY_MS, interrupted);
  }
}

function lost(request: number, error: unknown): PostcommitError {
  return new PostcommitError(
    'database-unreachable',
    `the connection to PostgreSQL was lost while waiting for request ${request}: ${messageOf(error)}`,
    `The request stays, and the relay goes on with it: postcommit replay --follow ${request}`,
    { cause: error },
  );
}
