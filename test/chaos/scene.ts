import type { Random } from '../../src/demo/random.ts';
import type { Chronicle } from './chronicle.ts';

/**
 * One part of a chaos run: starts its own servers and processes, does harm to them, and says what of the guarantees
 * did not hold. The seed decides everything a scene decides; what the machine decides (who is quicker) differs.
 */
export interface Scene {
  readonly name: string;
  /** What it is about, in a line. */
  readonly about: string;
  play(context: SceneContext): Promise<SceneOutcome>;
}

export interface SceneContext {
  readonly seed: number;
  /** Draw from `random.fork('purpose')`: one purpose's draws must not move another's. */
  readonly random: Random;
  /** How long to do harm, in seconds; starting, draining and checking come on top. */
  readonly seconds: number;
  /** What happened when, for the report: faults, roles, commits. */
  readonly chronicle: Chronicle;
  /** Where a scene may append further history, a line of JSON each; undefined where nobody keeps it. */
  readonly historyPath?: string | undefined;
  /** Lines for a person who watches. */
  readonly tell: (line: string) => void;
}

export interface SceneOutcome {
  /** What did not hold, in words, each with the guarantee's number; empty when all did. */
  readonly violations: readonly string[];
  /** What was counted: how much was at stake. */
  readonly facts: Readonly<Record<string, number | string>>;
}
