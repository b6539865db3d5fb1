import { sleep } from '../lifecycle/abort.ts';
import type { Session } from '../postgres/session.ts';
import { answerOf, ask, type RequestKind } from './requests.ts';

/** What the leading relay said. */
export interface LeaderAnswer {
  readonly request: number;
  /** Null: no relay answered in time. The request stays, and the next leader takes it up. */
  readonly result: Readonly<Record<string, unknown>> | null;
}

const ASK_EVERY_MS = 200;

/** Writes a request and waits for what came of it. */
export async function askLeader(
  session: Session,
  { kind, detail, waitMs }: { kind: RequestKind; detail: object; waitMs: number },
): Promise<LeaderAnswer> {
  const request = await ask(session, kind, detail);
  const deadlineMs = performance.now() + waitMs;
  for (;;) {
    const { finished, result } = await answerOf(session, request);
    if (finished) return { request, result: result ?? {} };
    if (performance.now() > deadlineMs) return { request, result: null };
    await sleep(ASK_EVERY_MS);
  }
}
