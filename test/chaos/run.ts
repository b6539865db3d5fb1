import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createRandom } from '../../src/demo/random.ts';
import { type Chronicle, createChronicle } from './chronicle.ts';
import type { Scene, SceneOutcome } from './scene.ts';

/** One scene, played with one seed. */
export interface Play {
  readonly seed: number;
  readonly scene: string;
  readonly seconds: number;
  readonly outcome: SceneOutcome;
  readonly chronicle: Chronicle;
}

export interface RunOptions {
  readonly seconds: number;
  /** Where histories are written. */
  readonly folder: string;
  readonly tell: (line: string) => void;
}

/** Plays a scene. What ends it from within is a violation as well: a guarantee was not shown to hold. */
export async function playScene(
  scene: Scene,
  seed: number,
  { seconds, folder, tell }: RunOptions,
): Promise<Play> {
  const chronicle = createChronicle(join(folder, `${seed}-${scene.name}.jsonl`));
  const historyPath = join(folder, `${seed}-${scene.name}-writers.jsonl`);
  await rm(historyPath, { force: true });
  const startedAtMs = performance.now();
  const outcome = await play();
  for (const violation of outcome.violations) chronicle.note('checker', violation);
  return {
    seed,
    scene: scene.name,
    seconds: Math.round((performance.now() - startedAtMs) / 1_000),
    outcome,
    chronicle,
  };

  async function play(): Promise<SceneOutcome> {
    try {
      return await scene.play({
        seed,
        random: createRandom(`${seed}/${scene.name}`),
        seconds,
        chronicle,
        historyPath,
        tell: (line) => tell(`  ${scene.name}: ${line}`),
      });
    } catch (error) {
      const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
      return { violations: [`harness: the scene could not be played to its end: ${reason}`], facts: {} };
    }
  }
}
