import { aborted } from '../lifecycle/abort.ts';
import { redact } from '../telemetry/redact.ts';
import { createRandom } from './random.ts';
import type { DemoResult } from './report.ts';
import { interrupted, playScenario } from './scenario.ts';
import type { Screen } from './screen.ts';
import type { Env } from './servers.ts';
import { buildStage, type CleanUp, type Stage, undo } from './stage.ts';
import type { Style } from './style.ts';
import { planWorkload } from './workload.ts';

export interface DemoOptions {
  readonly seed: string;
  /** How long the clinics work. */
  readonly seconds: number;
  readonly env: Env;
  /** The executable and its arguments up to and including `relay`. */
  readonly relayArgv: readonly [string, ...string[]];
  readonly screen: Screen;
  readonly style: Style;
  /** Its abort ends the demo early. */
  readonly signal: AbortSignal;
  /** Called with the proof while everything still runs; what it returns is waited for. */
  readonly onResult: (result: DemoResult, addresses: Addresses) => Promise<void> | void;
}

/** How to look around while the demo runs. */
export interface Addresses {
  readonly databaseUrl: string;
  readonly natsUrl: string;
  readonly stream: string;
  readonly consoleUrls: readonly string[];
}

const STARTING = 'starting PostgreSQL, NATS and two relays …';

/** Plays the whole demo and leaves nothing behind. */
export async function runDemo(options: DemoOptions): Promise<void> {
  const { seed, screen, style, signal } = options;
  const startedAtMs = performance.now();
  const workload = planWorkload(createRandom(seed), options.seconds);
  for (const line of header(seed, style)) screen.note(line);
  screen.show([style.dim(STARTING)], STARTING);
  const cleanUp: CleanUp = [screen.clear];
  try {
    const stage = await buildStage(options, cleanUp);
    if (signal.aborted) throw interrupted();
    screen.note(style.dim(stage.servers.description));
    screen.note('');
    const playing = playScenario({ stage, workload, startedAtMs, screen, style, signal }, cleanUp);
    const played = await Promise.race([playing, failure(stage, signal)]);
    screen.clear();
    const tookMs = performance.now() - startedAtMs;
    await options.onResult({ seed, ...played, tookMs }, addressesOf(stage));
  } finally {
    await undo(cleanUp);
  }
}

function header(seed: string, style: Style): string[] {
  return [
    `${style.bold('postcommit demo')}  seed ${seed}`,
    'Clinics in ng, gb and us write patients and events; a relay, killed mid-publish',
    'again and again, carries them to a read model. Then everything is counted.',
  ];
}

/** Rejects when the demo is stopped, or a relay ends that nobody killed. */
async function failure({ relays }: Stage, signal: AbortSignal): Promise<never> {
  const error = await Promise.race([relays.failed, aborted(signal)]);
  throw error ?? interrupted();
}

function addressesOf({ servers, relays }: Stage): Addresses {
  const { databaseUrl, natsUrl, stream } = servers;
  const consoleUrls = relays.running.flatMap(({ consoleUrl }) => consoleUrl ?? []);
  return { databaseUrl: withoutPassword(databaseUrl), natsUrl: redact(natsUrl), stream, consoleUrls };
}

/** Nothing is hidden where nothing is secret: this URL is there to be copied. */
function withoutPassword(databaseUrl: string): string {
  const { password, search } = new URL(databaseUrl);
  return password === '' && search === '' ? databaseUrl : redact(databaseUrl);
}
