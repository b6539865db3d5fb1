import type { Session } from '../postgres/session.ts';
import { askLeader, type LeaderAnswer } from '../requests/ask-leader.ts';
import { decideConsumerLetters } from './consumer-decisions.ts';

/** Which dead letters an operator means. Without `consumer`, `outcome: 'failed'` or `ids`: the relay's. */
export interface Decision {
  readonly kind: 'retry' | 'discard';
  readonly ids?: readonly number[] | undefined;
  readonly stream?: string | undefined;
  readonly outcome?: string | undefined;
  readonly keys?: readonly string[] | undefined;
  readonly consumer?: string | undefined;
  /** By what way it was asked for; kept with the request. Default: nothing, the command line. */
  readonly via?: string | undefined;
  /** How long to wait for the relay's answer. */
  readonly waitMs: number;
}

/** What came of it; `request` where a relay was asked. */
export type DecisionAnswer = LeaderAnswer | Pick<LeaderAnswer, 'result'>;

/** Letters of consumers are decided here, those of the relay by the one that leads. Both leave a row in `postcommit.requests`. */
export async function decideLetters(session: Session, decision: Decision): Promise<DecisionAnswer> {
  const { kind, waitMs, ...detail } = decision;
  const { ids, outcome, consumer } = detail;
  const ofConsumers = consumer !== undefined || outcome === 'failed';
  // All of theirs have failed.
  const mayBe = outcome === undefined || outcome === 'failed';
  const decided =
    mayBe && (ofConsumers || ids !== undefined) ? await decideConsumerLetters(session, kind, detail) : 0;
  if (ofConsumers || decided === ids?.length)
    return { result: { [kind === 'retry' ? 'retrying' : 'discarded']: decided } };
  return askLeader(session, { kind, detail, waitMs });
}
