import type { Pool } from 'pg';
import { PostcommitError } from '../errors.ts';
import { sleep } from '../lifecycle/abort.ts';
import { type ClinicTools, runImport } from './clinic.ts';
import type { Execution, Executioner, Warrant } from './executioner.ts';
import type { RelayPair } from './relay-pair.ts';
import type { StreamObserver } from './stream-observer.ts';
import { EVENTS_PER_IMPORTED_PATIENT, type ImportPlan } from './workload.ts';

/** One SIGKILL and what it hit. */
export interface Kill {
  /** On the clock of `performance.now()`. */
  readonly atMs: number;
  /** Numbers of the relays that died. */
  readonly victims: readonly number[];
  /** Events of the import, and how many of them had been seen on their way when the signal was sent. */
  readonly importEvents: number;
  readonly seen: number;
  /** Planned for the stream and not known to be stored, by the batch log. */
  readonly unsettled: number;
  /** Of those, the ones the stream did hold: whoever just sends again sends them twice. */
  readonly storedUnsettled: number;
  readonly successor: number;
  readonly tookOverMs: number;
}

export interface SabotageTools {
  readonly clinicTools: ClinicTools;
  readonly relays: RelayPair;
  readonly executioner: Executioner;
  readonly observer: StreamObserver;
  /** To look into the batch log. */
  readonly pool: Pool;
  readonly subjectPrefix: string;
}

const NOTHING_SEEN_MS = 30_000;

/** Hands in a card index and kills whoever publishes it, at the planned event. */
export async function sabotage(plan: ImportPlan, tools: SabotageTools): Promise<Kill> {
  const { clinicTools, relays, executioner, subjectPrefix } = tools;
  // Takeovers are to be seen, and there are none without a standby.
  await relays.ready();
  const leader = await relays.leading();
  const victims = plan.kill === 'everyone' ? relays.running : [leader];
  const { done } = await executioner.arm(
    warrantFor(plan, { subjectPrefix, pids: victims.map(({ pid }) => pid) }),
  );
  const succeeded = relays.condemn(victims);
  const importing = runImport(plan, clinicTools);
  const execution = await executionOf(done, importing);
  if (execution === undefined) throw nothingToKill(plan);
  await Promise.all(victims.map(({ exited }) => exited));
  const toll = await countToll(leader.epoch, tools);
  relays.replenish();
  await importing;
  const successor = await succeeded;
  return {
    ...execution,
    victims: victims.map(({ number }) => number),
    importEvents: plan.patients * EVENTS_PER_IMPORTED_PATIENT,
    ...toll,
    successor: successor.number,
    tookOverMs: Math.round(successor.leadingSinceMs - execution.atMs),
  };
}

/** Undefined if nothing was seen for long after the import was committed. */
async function executionOf(
  done: Promise<Execution>,
  importing: Promise<void>,
): Promise<Execution | undefined> {
  const over = new AbortController();
  try {
    return await Promise.race([
      done,
      importing.then(() => sleep(NOTHING_SEEN_MS, over.signal)).then(() => undefined),
    ]);
  } finally {
    over.abort();
  }
}

function warrantFor(
  { country, firstPatient, patients, killAfter }: ImportPlan,
  { subjectPrefix, pids }: { subjectPrefix: string; pids: readonly number[] },
): Warrant {
  const subject = `${subjectPrefix}${country}.patient.*`;
  return { subject, firstPatient, lastPatient: firstPatient + patients - 1, killAfter, pids };
}

/** What the dead had under way, before anybody has done much about it. */
async function countToll(
  epoch: number,
  { observer, pool }: SabotageTools,
): Promise<Pick<Kill, 'unsettled' | 'storedUnsettled'>> {
  const [stored, { rows }] = await Promise.all([
    observer.lastSequence(),
    pool.query<{ planned: string; settled: string }>(
      `SELECT coalesce(max(last_sequence), 0) AS planned, coalesce(max(settled_to), 0) AS settled
       FROM postcommit.batches WHERE epoch <= $1`,
      [epoch],
    ),
  ]);
  const planned = Number(rows[0]?.planned);
  const settled = Number(rows[0]?.settled);
  return { unsettled: planned - settled, storedUnsettled: Math.max(0, Math.min(stored, planned) - settled) };
}

function nothingToKill({ killAfter }: ImportPlan): PostcommitError {
  return new PostcommitError(
    'service-failed',
    `the first ${killAfter} events of an import were not published in ${NOTHING_SEEN_MS / 1_000} s`,
    'Is the machine very busy? Run it again, or look at a relay with `postcommit relay`.',
  );
}
