import type { Model } from './checker.ts';

/** A model with the runs that must hold and the mutants that must not. */
export interface Study {
  readonly name: string;
  /** What it asks, in one line. */
  readonly about: string;
  readonly runs: readonly Run[];
  readonly mutants: readonly Mutant[];
  /** Combinations of faults in which something does go wrong: known, and said in docs/model.md. */
  readonly limits?: readonly Run[];
}

/** A bounded state space in which nothing may go wrong. */
export interface Run {
  readonly name: string;
  model(): Model<unknown> | Promise<Model<unknown>>;
  readonly maxStates: number;
  /** Part of `npm test`: complete within a second or two. */
  readonly quick: boolean;
}

/** The model without one guard, or without several that cover for each other. */
export interface Mutant {
  readonly name: string;
  /** Where the guard is in the product. */
  readonly where: string;
  model(): Model<unknown> | Promise<Model<unknown>>;
  /** The same with all guards: nothing may go wrong there, or the counterexample would say nothing of the guard. */
  intact(): Model<unknown> | Promise<Model<unknown>>;
  readonly maxStates: number;
  /**
   * `refuted`: a counterexample must be found. `redundant`: taken away alone it costs nothing within these bounds, for
   * another guard covers for it; the whole space is explored to say so.
   */
  readonly expect: 'refuted' | 'redundant';
}
