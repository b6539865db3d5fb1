/**
 * An explicit-state model checker: breadth-first over canonical states, so that the first violation found is a shortest
 * one. A model says which steps a state allows; the checker knows nothing of what they mean.
 */
export interface Model<S> {
  readonly initial: S;
  /** States are values: a step makes a new one. */
  steps(state: S): Iterable<Step<S>> | Promise<Iterable<Step<S>>>;
  /** Equal for states that differ only in what cannot matter: names of what is over, order of what is a set. */
  key(state: S): string;
  /** What must never be. */
  violation(state: S): string | undefined;
  /** Liveness: from every reachable state, steps without a fault lead to one in which this holds. */
  goal?(state: S): boolean;
}

export interface Step<S> {
  readonly label: string;
  readonly next: S;
  /** Something goes wrong here; liveness is asked of runs in which nothing more does. */
  readonly fault?: boolean;
}

export type Answer =
  | { readonly kind: 'holds' }
  | { readonly kind: 'violated'; readonly what: string; readonly trace: readonly string[] };

export interface Report {
  readonly answer: Answer;
  /** The whole bounded state space was explored. False after a violation and at the bound. */
  readonly complete: boolean;
  readonly states: number;
  readonly steps: number;
  readonly depth: number;
  readonly ms: number;
}

export interface CheckOptions {
  readonly maxStates: number;
}

export async function check<S>(model: Model<S>, { maxStates }: CheckOptions): Promise<Report> {
  const startedAtMs = performance.now();
  const graph = createGraph<S>(model);
  const report = (answer: Answer, complete: boolean): Report => ({
    answer,
    complete,
    states: graph.size,
    steps: graph.steps,
    depth: graph.depth,
    ms: Math.round(performance.now() - startedAtMs),
  });
  const first = graph.add(model.initial);
  if (first !== undefined) return report(first, false);
  for (let number = 0; number < graph.size; number++) {
    if (graph.size >= maxStates) return report(HOLDS, false);
    const violated = await graph.expand(number);
    if (violated !== undefined) return report(violated, false);
  }
  return report(graph.stuck() ?? HOLDS, true);
}

const HOLDS: Answer = { kind: 'holds' };

interface Origin {
  readonly parent: number;
  readonly label: string;
  readonly depth: number;
}

function createGraph<S>(model: Model<S>) {
  const numbers = new Map<string, number>();
  const origins: Origin[] = [];
  /** Only those that wait for their expansion are kept. */
  const waiting = new Map<number, S>();
  const goals: number[] = [];
  /** Backwards, along the steps without a fault. */
  const faultless: number[][] = [];
  let steps = 0;

  const traceTo = (number: number): string[] => {
    const trace: string[] = [];
    for (let at = origins[number]; at !== undefined && at.parent >= 0; at = origins[at.parent])
      trace.push(at.label);
    return trace.reverse();
  };

  function visit(state: S, origin: Origin): { number: number; violated?: Answer } {
    // Before anything else: what went wrong may be no part of the state's name.
    const what = model.violation(state);
    if (what !== undefined) {
      const trace = origin.parent < 0 ? [] : [...traceTo(origin.parent), origin.label];
      return { number: -1, violated: { kind: 'violated', what, trace } };
    }
    const key = model.key(state);
    const known = numbers.get(key);
    if (known !== undefined) return { number: known };
    const number = origins.length;
    numbers.set(key, number);
    origins.push(origin);
    if (model.goal !== undefined) faultless.push([]);
    if (model.goal?.(state)) goals.push(number);
    waiting.set(number, state);
    return { number };
  }

  /** Which states lead to a goal without a fault. */
  function reaching(): Uint8Array {
    const reaches = new Uint8Array(origins.length);
    for (const goal of goals) reaches[goal] = 1;
    const queue = [...goals];
    for (let at = queue.pop(); at !== undefined; at = queue.pop()) {
      const fresh = (faultless[at] ?? []).filter((before) => reaches[before] === 0);
      for (const before of fresh) reaches[before] = 1;
      queue.push(...fresh);
    }
    return reaches;
  }

  return {
    get size() {
      return origins.length;
    },
    get steps() {
      return steps;
    },
    get depth() {
      return origins.at(-1)?.depth ?? 0;
    },
    add: (state: S) => visit(state, { parent: -1, label: '', depth: 0 }).violated,
    async expand(number: number): Promise<Answer | undefined> {
      const state = waiting.get(number) as S;
      waiting.delete(number);
      const depth = (origins[number]?.depth ?? 0) + 1;
      for (const step of await model.steps(state)) {
        steps++;
        const to = visit(step.next, { parent: number, label: step.label, depth });
        if (to.violated !== undefined) return to.violated;
        if (step.fault !== true) faultless[to.number]?.push(number);
      }
      return undefined;
    },
    /** A state from which no run without further faults reaches the goal; only to be asked of the whole graph. */
    stuck(): Answer | undefined {
      if (model.goal === undefined) return undefined;
      const number = reaching().indexOf(0);
      if (number < 0) return undefined;
      return { kind: 'violated', what: 'STUCK: no run without faults ends well', trace: traceTo(number) };
    },
  };
}
