import { z } from 'zod';
import { discardIfLeading, type LetterSelection, selectToRetry } from '../dead-letters/selection.ts';
import type { StoredEvent } from '../event.ts';
import { sleep } from '../lifecycle/abort.ts';
import type { Session } from '../postgres/session.ts';
import {
  answerIfLeading,
  type OperatorRequest,
  openRequests,
  type RequestKind,
} from '../requests/requests.ts';
import type { Logger } from '../telemetry/logger.ts';
import { eventsAt } from './events-at.ts';
import type { Lane } from './lane.ts';
import { replay } from './replay.ts';
import type { Router } from './router.ts';

/**
 * What operators ask of the leader, one request after the other. Everything that goes to a stream passes the batch log,
 * so nobody but the leader may publish a retry or a replay. A request that a crash interrupts is taken up again: no retry
 * is planned twice, of a replay at most the portion that was under way.
 */
export interface OperatorContext {
  readonly session: Session;
  readonly epoch: number;
  readonly lanes: readonly Lane[];
  readonly router: Router;
  readonly logger: Logger;
  /** Every event below it was read by all lanes. */
  readonly openFrom: () => number;
  /** Looks for events that reading has passed over; says what it found. */
  readonly audit: () => Promise<Answer>;
}

/** What came of a request, as it is written into its row. */
export type Answer = Readonly<Record<string, unknown>>;

export type Handling =
  | { readonly kind: 'answered'; readonly answer: Answer }
  /** Another epoch leads. */
  | { readonly kind: 'fenced' }
  /** The leadership ends: the next one goes on with it. */
  | { readonly kind: 'abandoned' };

const ASK_EVERY_MS = 1_000;
const AT_ONCE = 500;
const ADOPT_PATIENCE_MS = 20_000;

export async function serveOperators(
  context: OperatorContext,
  signal: AbortSignal,
): Promise<'stopped' | 'fenced'> {
  const { session, epoch, logger } = context;
  while (!signal.aborted) {
    for (const request of await openRequests(session)) {
      const handling = await handle(context, request, signal);
      if (handling.kind === 'fenced') return 'fenced';
      if (handling.kind === 'abandoned' || signal.aborted) return 'stopped';
      const { id, kind } = request;
      const { answer } = handling;
      logger.info({ event: 'request-finished', id, kind, answer }, `request ${id} (${kind}) is finished`);
      if (!(await answerIfLeading(session, epoch, { id, result: answer, finished: true }))) return 'fenced';
    }
    await sleep(ASK_EVERY_MS, signal);
  }
  return 'stopped';
}

async function handle(
  context: OperatorContext,
  request: OperatorRequest,
  signal: AbortSignal,
): Promise<Handling> {
  const detail = DETAILS[request.kind].safeParse(request.detail);
  if (!detail.success)
    return answered({ error: `the request makes no sense: ${z.prettifyError(detail.error)}` });
  switch (request.kind) {
    case 'retry':
      return retry(context, detail.data as LetterSelection);
    case 'discard':
      return discard(context, detail.data as LetterSelection);
    case 'replay':
      return replay(context, request.id, detail.data as z.infer<typeof replayDetail>);
    case 'adopt':
      return adopt(context, detail.data as z.infer<typeof adoptDetail>, signal);
    case 'audit':
      return answered(await context.audit());
  }
}

const selection = z.strictObject({
  ids: z.array(z.int().positive()).optional(),
  stream: z.string().optional(),
  outcome: z.enum(['refused', 'misrouted', 'held']).optional(),
  keys: z.array(z.string()).optional(),
});

const bound = z.int().positive().optional();

export const replayDetail = z.strictObject({
  /** Positions in the outbox, both included. */
  fromPosition: bound,
  toPosition: bound,
  /** Sequences of this stream, both included. */
  stream: z.string().optional(),
  fromSequence: bound,
  toSequence: bound,
  /** When the event was inserted. */
  since: z.iso.datetime({ offset: true }).optional(),
  until: z.iso.datetime({ offset: true }).optional(),
  key: z.string().optional(),
  /** A subject, or a pattern with wildcards. */
  subject: z.string().optional(),
});

const adoptDetail = z.strictObject({
  stream: z.string(),
  mode: z.enum(['continue', 'republish']).default('continue'),
});

const DETAILS: Readonly<Record<RequestKind, z.ZodType>> = {
  retry: selection,
  discard: selection,
  replay: replayDetail,
  adopt: adoptDetail,
  audit: z.looseObject({}),
};

export function answered(answer: Answer): Handling {
  return { kind: 'answered', answer };
}

async function retry(context: OperatorContext, chosen: LetterSelection): Promise<Handling> {
  const { session } = context;
  let [retried, misrouted, gone, above] = [0, 0, 0, 0];
  for (;;) {
    const letters = await selectToRetry(session, { ...chosen, above }, AT_ONCE);
    if (letters.length === 0) return answered({ retried, misrouted, gone });
    above = letters.at(-1)?.position ?? above;
    const events = await eventsAt(
      session,
      letters.map(({ position }) => position),
    );
    gone += letters.length - events.size;
    const routed = route(context, [...events.values()]);
    misrouted += events.size - sum(routed);
    for (const [lane, share] of routed) {
      if ((await lane.repeat({ kind: 'retry', events: share })) === 'abandoned') return { kind: 'abandoned' };
      retried += share.length;
    }
  }
}

/** By lane, in position order. What no lane takes is left out. */
export function route(
  { lanes, router }: Pick<OperatorContext, 'lanes' | 'router'>,
  events: readonly StoredEvent[],
): ReadonlyMap<Lane, StoredEvent[]> {
  const routed = new Map<Lane, StoredEvent[]>();
  for (const event of [...events].sort((a, b) => a.position - b.position)) {
    const lane = lanes[router(event.subject)];
    if (lane === undefined) continue;
    const share = routed.get(lane);
    if (share === undefined) routed.set(lane, [event]);
    else share.push(event);
  }
  return routed;
}

function sum(routed: ReadonlyMap<Lane, readonly StoredEvent[]>): number {
  return [...routed.values()].reduce((total, share) => total + share.length, 0);
}

/** Where keys hold, what waited behind a discarded head goes on. */
async function discard(context: OperatorContext, chosen: LetterSelection): Promise<Handling> {
  const { session, epoch, lanes } = context;
  const discarded = await discardIfLeading(session, epoch, chosen);
  if (discarded === undefined) return { kind: 'fenced' };
  for (const lane of lanes)
    lane.discarded(discarded.filter(({ stream }) => stream === lane.stream).map(({ position }) => position));
  const keys = [...new Set(discarded.flatMap(({ key }) => (key === null ? [] : [key])))];
  if (keys.length === 0) return answered({ discarded: discarded.length, released: 0 });
  const released = await retry(context, { keys, outcome: 'held' });
  if (released.kind !== 'answered') return released;
  return answered({ discarded: discarded.length, released: released.answer.retried });
}

async function adopt(
  { lanes }: OperatorContext,
  { stream, mode }: z.infer<typeof adoptDetail>,
  signal: AbortSignal,
): Promise<Handling> {
  const lane = lanes.find((one) => one.stream === stream);
  if (lane === undefined)
    return answered({
      error: `no lane has the stream '${stream}': ${lanes.map((one) => one.stream).join(', ')}`,
    });
  if (lane.state.kind === 'flowing')
    return answered({
      adopted: false,
      reason: `stream '${stream}' is the one planned for, and the lane publishes`,
    });
  const patience = new AbortController();
  const outcome = await Promise.race([
    lane.adopt(mode),
    sleep(ADOPT_PATIENCE_MS, AbortSignal.any([signal, patience.signal])),
  ]);
  patience.abort();
  if (signal.aborted) return { kind: 'abandoned' };
  if (outcome === undefined) {
    const { state } = lane;
    return answered({
      adopted: false,
      reason: state.kind === 'paused' ? state.pause.reason : 'it takes too long',
    });
  }
  if (outcome.kind === 'refused') return answered({ adopted: false, reason: outcome.reason });
  return answered({ adopted: true, incarnation: outcome.incarnation, republished: outcome.republished });
}
