import { setMaxListeners } from 'node:events';
import { PostcommitError } from '../errors.ts';
import { sleep } from '../lifecycle/abort.ts';
import { type ClinicTools, runClinic, sleepUntil } from './clinic.ts';
import { COUNTRIES } from './countries.ts';
import { type ClinicsDiary, createDiary } from './diary.ts';
import { type Directory, durableOf, startDirectory } from './directory.ts';
import { gatherFacts } from './evidence.ts';
import { plainLine, viewLines } from './live-view.ts';
import { watchProgress } from './progress.ts';
import { type Proof, prove } from './proof.ts';
import { createRegistry } from './registry.ts';
import { type Kill, sabotage } from './saboteur.ts';
import type { Screen } from './screen.ts';
import type { CleanUp, Stage } from './stage.ts';
import { grouped, type Style, seconds } from './style.ts';
import type { ImportPlan, Workload } from './workload.ts';

export interface ScenarioOptions {
  readonly stage: Stage;
  readonly workload: Workload;
  readonly startedAtMs: number;
  readonly screen: Screen;
  readonly style: Style;
  readonly signal: AbortSignal;
}

export interface Played {
  readonly proof: Proof;
  readonly kills: readonly Kill[];
}

/** What goes on now, shared by the acts. */
interface Play extends ScenarioOptions {
  readonly diary: ClinicsDiary;
  readonly kills: Kill[];
  directory: Directory;
  phase: string;
}

/** Nothing moved for so long: what is missing now stays missing, and the proof will say so. */
const STILL_MS = 10_000;
const LOOK_EVERY_MS = 50;
/** The second delivery is only counted, so its order is of no account. */
const HANDLERS_OF_SECOND_DELIVERY = 4;

/** The clinics at work while relays are killed, everything drained, everything delivered again, everything counted. */
export async function playScenario(options: ScenarioOptions, cleanUp: CleanUp): Promise<Played> {
  const play: Play = {
    ...options,
    diary: createDiary(),
    kills: [],
    directory: await openDirectory(options.stage, 1),
    phase: 'clinics at work, relays being killed',
  };
  cleanUp.push(() => play.directory.stop());
  const progress = showProgress(play);
  cleanUp.push(progress.stop);
  await work(play);
  play.phase = 'clinics closed, draining';
  await drain(play);
  play.phase = 'delivering the whole stream a second time';
  const second = await deliverAgain(play);
  play.phase = 'counting';
  const { stage, diary, kills } = play;
  const proof = prove(
    await gatherFacts({
      pool: stage.clinicPool,
      observer: stage.observer,
      rolledBack: diary.rolledBackIds,
      ...second,
    }),
  );
  progress.stop();
  return { proof, kills };
}

function showProgress(play: Play) {
  const { stage, diary, kills, startedAtMs, screen, style } = play;
  return watchProgress(
    {
      startedAtMs,
      diary,
      kills,
      observer: stage.observer,
      relays: stage.relays,
      directory: () => play.directory.counts(),
      phase: () => play.phase,
    },
    (snapshot) => screen.show(viewLines(snapshot, style), plainLine(snapshot)),
  );
}

async function work(play: Play): Promise<void> {
  const { stage, workload, diary, signal } = play;
  const registry = createRegistry(stage.servers.subjectPrefix);
  setMaxListeners(0, signal); // Every clinic waits for its next visit on it.
  const tools: ClinicTools = { pool: stage.clinicPool, registry, diary, signal };
  await Promise.all([
    ...workload.clinics.map((clinic) => runClinic(clinic, tools)),
    runImports(workload.imports, tools, play),
  ]);
}

/** One after the other: each kill waits until somebody leads again. */
async function runImports(imports: readonly ImportPlan[], tools: ClinicTools, play: Play): Promise<void> {
  const { stage, kills, screen, style } = play;
  const startedAtMs = performance.now();
  for (const plan of imports) {
    await sleepUntil(startedAtMs + plan.atMs, play.signal);
    if (play.signal.aborted) return;
    const kill = await sabotage(plan, {
      clinicTools: tools,
      relays: stage.relays,
      executioner: stage.executioner,
      observer: stage.observer,
      pool: stage.clinicPool,
      subjectPrefix: stage.servers.subjectPrefix,
    });
    kills.push(kill);
    screen.note(killLine(play.startedAtMs, kill, style));
  }
}

function killLine(startedAtMs: number, kill: Kill, style: Style): string {
  const { atMs, victims, unsettled, storedUnsettled, successor, tookOverMs } = kill;
  const names = `relay${victims.length > 1 ? 's' : ''} ${victims.join(' and ')}`;
  return [
    `${seconds(atMs - startedAtMs).padStart(8)}  ${style.bad('SIGKILL')} ${names},`,
    `${grouped(unsettled)} in flight (${grouped(storedUnsettled)} stored);`,
    `relay ${successor} led ${seconds(tookOverMs)} later`,
  ].join(' ');
}

function openDirectory({ servers, directoryPool }: Stage, concurrency: number): Promise<Directory> {
  const { nats, stream, subjectPrefix } = servers;
  return startDirectory({ pool: directoryPool, nats, stream, subjectPrefix, concurrency });
}

/** Until as much is stored and has had its effect as was committed. */
async function drain({ stage, diary, directory, signal }: Play): Promise<void> {
  await untilStill(async () => {
    const stored = await stage.observer.lastSequence();
    const { effects } = await directory.counts();
    const done = stored >= diary.committedEvents && effects >= diary.committedEvents;
    return { done, progress: stored + effects };
  }, signal);
}

/** As after a lost durable: every message comes once more, and the inbox has seen them all. */
async function deliverAgain(play: Play): Promise<{ redelivered: number; refused: number }> {
  const { stage, signal } = play;
  const redelivered = await stage.observer.lastSequence();
  await play.directory.stop();
  const before = await play.directory.counts();
  await Promise.all(COUNTRIES.map((country) => stage.observer.deleteDurable(durableOf(country))));
  const again = await openDirectory(stage, HANDLERS_OF_SECOND_DELIVERY);
  play.directory = {
    stop: again.stop,
    async counts() {
      const { effects, duplicates } = await again.counts();
      return { effects: before.effects + effects, duplicates: before.duplicates + duplicates };
    },
  };
  let refused = 0;
  await untilStill(async () => {
    const { effects, duplicates } = await again.counts();
    refused = duplicates;
    return { done: effects + duplicates >= redelivered, progress: effects + duplicates };
  }, signal);
  return { redelivered, refused };
}

async function untilStill(
  look: () => Promise<{ done: boolean; progress: number }>,
  signal: AbortSignal,
): Promise<void> {
  let best = -1;
  let movedAtMs = performance.now();
  while (!signal.aborted) {
    const { done, progress } = await look();
    if (done) return;
    if (progress > best) movedAtMs = performance.now();
    best = Math.max(best, progress);
    if (performance.now() - movedAtMs > STILL_MS) return;
    await sleep(LOOK_EVERY_MS, signal);
  }
  throw interrupted();
}

export function interrupted(): PostcommitError {
  return new PostcommitError(
    'service-failed',
    'the demo was stopped before its proof',
    'Everything it had started is stopped and removed. Run it again and let it end by itself.',
  );
}
