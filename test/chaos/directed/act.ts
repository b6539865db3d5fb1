import type { StreamConfig } from '@nats-io/jetstream';
import type { Random } from '../../../src/demo/random.ts';
import { startNats, startPostgres } from '../../../src/embedded/index.ts';
import { type NatsWithStore, startNatsWithStore } from '../../support/nats-with-store.ts';
import type { Scene, SceneContext } from '../scene.ts';
import { openStage, type Stage } from './stage.ts';
import { happens } from './waiting.ts';

/** A situation that is brought about step by step, and what must hold in it. */
export interface Act {
  readonly name: string;
  /** Of its stream. */
  readonly config?: Partial<StreamConfig>;
  /** What did not hold. */
  play(stage: Stage, random: Random): Promise<readonly string[]>;
}

export interface DirectedScene {
  readonly name: string;
  readonly about: string;
  readonly acts: readonly Act[];
}

/** Longer than any act takes, and than what it waits for in vain. */
const ACT_WITHIN_MS = 45_000;

/** Acts one after the other on two servers of the scene's own, each on a database and a stream of its own. */
export function createDirectedScene({ name, about, acts }: DirectedScene): Scene {
  return {
    name,
    about,
    async play(context) {
      await using postgres = await startPostgres();
      await using nats = await startNatsWithStore(startNats);
      const servers = { postgresUrl: postgres.url, nats };
      for (const act of acts) {
        const violations = await playAct(act, servers, context);
        if (violations.length > 0) return { violations, facts: { acts: acts.length } };
      }
      return { violations: [], facts: { acts: acts.length } };
    },
  };
}

async function playAct(
  act: Act,
  servers: { postgresUrl: string; nats: NatsWithStore },
  { random, chronicle, tell }: SceneContext,
): Promise<string[]> {
  const over = chronicle.begin('acts', act.name);
  const stage = await openStage({ ...servers, name: act.name, config: act.config });
  try {
    const startedAtMs = performance.now();
    const playing = act.play(stage, random.fork(act.name));
    playing.catch(() => undefined);
    const inTime = await happens(
      playing.then(
        () => undefined,
        () => undefined,
      ),
      ACT_WITHIN_MS,
    );
    if (!inTime) return [`harness: ${act.name} was not over after ${ACT_WITHIN_MS} ms`];
    const violations = await playing;
    tell(`${act.name}, ${Math.round(performance.now() - startedAtMs)} ms`);
    return violations.map((text) => inActsName(text, act.name));
  } finally {
    over();
    await stage[Symbol.asyncDispose]();
  }
}

/** The guarantee stays in front. */
function inActsName(violation: string, name: string): string {
  const [title, ...rest] = violation.split(': ');
  return [title, `(${name})`, rest.join(': ')].join(' ').replace(' (', ': (');
}
