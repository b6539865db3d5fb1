import type { Pool } from 'pg';
import { PostcommitError } from '../errors.ts';
import { sleep } from '../lifecycle/abort.ts';
import { type ClinicTools, runImport } from './clinic.ts';
import { countryOf } from './countries.ts';
import type { RelayPair } from './relay-pair.ts';
import type { RelayProcess } from './relay-process.ts';
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
  readonly observer: StreamObserver;
  /** To look into the batch log. */
  readonly pool: Pool;
  readonly subjectPrefix: string;
}

const NOTHING_SEEN_MS = 30_000;

/** Hands in a card index and kills whoever publishes it, at the planned event. */
export async function sabotage(plan: ImportPlan, tools: SabotageTools): Promise<Kill> {
  const { clinicTools, relays, observer, subjectPrefix } = tools;
  // Takeovers are to be seen, and there are none without a standby.
  await relays.ready();
  const { signal } = clinicTools;
  const { promise: struck, resolve: strike } = Promise.withResolvers<Blow>();
  let seen = 0;
  const unwatch = await observer.watch(`${subjectPrefix}${plan.country}.patient.*`, (subject) => {
    if (!isImported(subject, plan)) return;
    seen++;
    const { leader } = relays;
    if (seen < plan.killAfter || leader === undefined || signal.aborted) return;
    unwatch();
    strike(deal(plan, { leader, relays, seen }));
  });
  const importing = runImport(plan, clinicTools);
  const blow = await Promise.race([
    struck,
    importing.then(() => sleep(NOTHING_SEEN_MS, signal)).then(() => undefined),
  ]);
  unwatch();
  if (blow === undefined) throw nothingToKill(plan);
  const [kill] = await Promise.all([assess(plan, blow, tools), importing]);
  return kill;
}

interface Blow {
  readonly leader: RelayProcess;
  readonly victims: readonly number[];
  readonly seen: number;
  readonly atMs: number;
  readonly succeeded: Promise<RelayProcess>;
}

function deal(
  plan: ImportPlan,
  { leader, relays, seen }: { leader: RelayProcess; relays: RelayPair; seen: number },
): Blow {
  const victims = plan.kill === 'everyone' ? relays.running : [leader];
  const atMs = performance.now();
  const succeeded = relays.killAndReplace(victims);
  succeeded.catch(() => undefined);
  return { leader, victims: victims.map(({ number }) => number), seen, atMs, succeeded };
}

async function assess(plan: ImportPlan, blow: Blow, { observer, pool }: SabotageTools): Promise<Kill> {
  const { leader, victims, seen, atMs, succeeded } = blow;
  await leader.exited;
  const [stored, { rows }] = await Promise.all([
    observer.lastSequence(),
    pool.query<{ planned: string; settled: string }>(
      `SELECT coalesce(max(last_sequence), 0) AS planned, coalesce(max(settled_to), 0) AS settled
       FROM postcommit.batches WHERE epoch <= $1`,
      [leader.epoch],
    ),
  ]);
  const planned = Number(rows[0]?.planned);
  const settled = Number(rows[0]?.settled);
  const successor = await succeeded;
  return {
    atMs,
    victims,
    importEvents: plan.patients * EVENTS_PER_IMPORTED_PATIENT,
    seen,
    unsettled: planned - settled,
    storedUnsettled: Math.max(0, Math.min(stored, planned) - settled),
    successor: successor.number,
    tookOverMs: Math.round(successor.leadingSinceMs - atMs),
  };
}

function isImported(subject: string, { country, firstPatient, patients }: ImportPlan): boolean {
  const patient = Number(subject.slice(subject.lastIndexOf('.') + 1));
  return countryOf(patient) === country && patient >= firstPatient && patient < firstPatient + patients;
}

function nothingToKill({ killAfter }: ImportPlan): PostcommitError {
  return new PostcommitError(
    'service-failed',
    `no leader was seen publishing the first ${killAfter} events of an import in ${NOTHING_SEEN_MS / 1_000} s`,
    'Is the machine very busy? Run it again, or look at a relay with `postcommit relay`.',
  );
}
