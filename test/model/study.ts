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

export interface Subject<Bounds, Guards> {
  /** The model with these guards; with all of them by default. */
  model(of: Bounds, guards?: Guards): Model<unknown> | Promise<Model<unknown>>;
  readonly guards: Guards;
  /** As many states as its spaces may have, unless a run says otherwise. */
  readonly maxStates: number;
}

export interface Without<Bounds, Guards> {
  readonly where: string;
  readonly removed: Partial<Guards>;
  readonly of: Bounds;
  /** Default: refuted. */
  readonly expect?: Mutant['expect'];
}

/** What a study is made of: runs within bounds, and the same model without some of its guards. */
export function studying<Bounds, Guards>({ model, guards, maxStates }: Subject<Bounds, Guards>) {
  return {
    /** Quick by default. */
    holding: (name: string, of: Bounds, more: Partial<Pick<Run, 'quick' | 'maxStates'>> = {}): Run => ({
      name,
      model: () => model(of),
      maxStates,
      quick: true,
      ...more,
    }),
    without: (name: string, { where, removed, of, expect = 'refuted' }: Without<Bounds, Guards>): Mutant => ({
      name,
      where,
      model: () => model(of, { ...guards, ...removed }),
      intact: () => model(of),
      maxStates,
      expect,
    }),
  };
}
