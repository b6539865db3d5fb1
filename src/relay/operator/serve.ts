import { z } from 'zod';
import { messageOf, PostcommitError } from '../../errors.ts';
import { sleep } from '../../lifecycle/abort.ts';
import { isOutageState } from '../../postgres/server-error.ts';
import { sqlState } from '../../postgres/session.ts';
import { answerIfLeading, type OperatorRequest, openRequests } from '../../requests/requests.ts';
import { adopt } from './adopt.ts';
import { cancel } from './cancel.ts';
import { answerRetry, discard, retry } from './dead-letters.ts';
import {
  type AdoptDetail,
  type CancelDetail,
  DETAILS,
  type ReplayDetail,
  type SelectionDetail,
} from './details.ts';
import { answered, type Handling, type OperatorContext } from './handling.ts';
import { createReplays, type Replays } from './replay.ts';

const ASK_EVERY_MS = 1_000;

/** What is due to be retried and cannot be, for want of a lane or of its content, is not read again each second. */
const UNABLE_AGAIN_AFTER_MS = 60_000;

/** Answers requests until the signal aborts. */
export async function serveOperators(
  context: OperatorContext,
  signal: AbortSignal,
): Promise<'stopped' | 'fenced'> {
  // What no request asks for, but follows from one, or from a lane that is no more. The last leader may have left some.
  const due = new Set<'moved' | 'held'>(['moved', 'held']);
  const replays = createReplays(context);
  let releaseFromMs = 0;
  while (!signal.aborted) {
    if (context.takeMoved()) due.add('moved');
    if (context.lanes.some(({ stranded }) => stranded) && performance.now() >= releaseFromMs) due.add('held');
    const caughtUp = await catchUp(context, due);
    if (caughtUp === 'stopped') return 'stopped';
    if (caughtUp === 'unable') releaseFromMs = performance.now() + UNABLE_AGAIN_AFTER_MS;
    const requests = await openRequests(context.session);
    replays.keepOnly(requests.map(({ id }) => id));
    let dueInMs = ASK_EVERY_MS;
    for (const request of requests) {
      const end = await serve({ ...context, replays }, request, signal);
      if (typeof end === 'string') return end;
      dueInMs = Math.min(dueInMs, end.dueInMs);
    }
    await sleep(dueInMs, signal);
  }
  return 'stopped';
}

type Serving = OperatorContext & { readonly replays: Replays };

async function catchUp(
  context: OperatorContext,
  due: Set<'moved' | 'held'>,
): Promise<'done' | 'unable' | 'stopped'> {
  let left = 0;
  for (const outcome of due) {
    const result = await retry(context, { outcome });
    if (result.kind === 'abandoned') return 'stopped';
    if (result.kind !== 'retried') continue;
    due.delete(outcome);
    left += result.misrouted + result.gone;
  }
  return left === 0 ? 'done' : 'unable';
}

/** With when it, or another one, is to be asked for again. */
async function serve(
  context: Serving,
  request: OperatorRequest,
  signal: AbortSignal,
): Promise<{ readonly dueInMs: number } | 'stopped' | 'fenced'> {
  const { session, epoch, logger } = context;
  const handling = await handle(context, request, signal).catch((error: unknown) =>
    answerThenFail(context, request, error),
  );
  if (handling.kind === 'fenced') return 'fenced';
  if (handling.kind === 'abandoned' || signal.aborted) return 'stopped';
  if (handling.kind === 'unfinished') return handling;
  if (handling.kind === 'later') return SERVED;
  const { id, kind } = request;
  const { answer } = handling;
  logger.info({ event: 'request-finished', id, kind, answer }, `request ${id} (${kind}) is finished`);
  return (await answerIfLeading(session, epoch, { id, result: answer, finished: true })) ? SERVED : 'fenced';
}

const SERVED = { dueInMs: ASK_EVERY_MS };

/**
 * What fails here ends the leadership, and would end the next one, too, with the same request: it is over, unless the
 * servers were the cause. Where they were, they do not take the answer either.
 */
async function answerThenFail(
  { session, epoch, logger }: OperatorContext,
  { id, kind }: OperatorRequest,
  error: unknown,
): Promise<never> {
  if (!isOutage(error)) {
    const reason = messageOf(error);
    logger.error(
      { event: 'request-failed', id, kind, reason },
      `request ${id} (${kind}) is given up: ${reason}`,
    );
    await answerIfLeading(session, epoch, {
      id,
      result: { error: `it failed and is given up: ${reason}` },
      finished: true,
    }).catch(() => undefined);
  }
  throw error;
}

function isOutage(error: unknown): boolean {
  const state = sqlState(error);
  return state === undefined
    ? error instanceof PostcommitError && error.code === 'broker-unreachable'
    : isOutageState(state);
}

async function handle(context: Serving, request: OperatorRequest, signal: AbortSignal): Promise<Handling> {
  const detail = DETAILS[request.kind].safeParse(request.detail);
  if (!detail.success)
    return answered({ error: `the request makes no sense: ${z.prettifyError(detail.error)}` });
  switch (request.kind) {
    case 'retry':
      return answerRetry(context, detail.data as SelectionDetail);
    case 'discard':
      return discard(context, detail.data as SelectionDetail);
    case 'replay':
      return context.replays.turn({ id: request.id, wish: detail.data as ReplayDetail }, signal);
    case 'cancel':
      return cancel(context, request.id, detail.data as CancelDetail);
    case 'adopt':
      return adopt(context, detail.data as AdoptDetail, signal);
    case 'audit':
      return answered(await context.audit());
  }
}
