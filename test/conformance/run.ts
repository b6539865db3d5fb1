import { aborted } from '../../src/lifecycle/abort.ts';
import { CONSUMER_RULES } from './consumer/index.ts';
import type { Servers } from './servers.ts';
import { openStage, type Stage, type StageOptions } from './stage.ts';
import { NotApplicable, type Rule, Unmet, type Verdict } from './verdict.ts';
import { WRITER_RULES } from './writer/index.ts';

export interface Suite {
  readonly name: 'writer' | 'consumer';
  readonly ordering: StageOptions['ordering'];
  readonly rules: readonly Rule<Stage>[];
  /** Forgets what a rule that failed has left behind. */
  clean(stage: Stage): Promise<unknown>;
}

export const SUITES: Readonly<Record<Suite['name'], Suite>> = {
  writer: {
    name: 'writer',
    ordering: 'stream',
    rules: WRITER_RULES,
    clean: (stage) => stage.published(),
  },
  consumer: {
    name: 'consumer',
    // Others write to that stream as well: the script itself does.
    ordering: 'key',
    rules: CONSUMER_RULES,
    clean: ({ db }) => db.query('DELETE FROM conformance.failing'),
  },
};

export interface Outcome {
  readonly rule: string;
  readonly about: string;
  readonly verdict: Verdict;
}

export interface RunOptions {
  readonly command: readonly string[];
  readonly servers: Servers;
  /** Default: all rules of the suite. */
  readonly only?: readonly string[] | undefined;
  /** Ends the run where it is, and takes away what it has made. */
  readonly signal?: AbortSignal | undefined;
}

/** Tries the client by each rule, one after the other. Errors of the script itself, or of its servers, are thrown. */
export async function* runSuite(suite: Suite, options: RunOptions): AsyncGenerator<Outcome> {
  const rules = suite.rules.filter(({ id }) => options.only?.includes(id) ?? true);
  if (rules.length === 0) return;
  const ended = aborted(options.signal ?? new AbortController().signal);
  await using stage = await openStage({ ...options, ordering: suite.ordering });
  for (const { id, about, check } of rules) {
    await suite.clean(stage);
    const judging = judge(() => check(stage));
    const verdict = await unless(ended, judging);
    if (verdict === undefined) return;
    yield { rule: id, about, verdict };
  }
}

async function unless<T>(ended: Promise<void>, work: Promise<T>): Promise<T | undefined> {
  // What goes on behind an end that was asked for fails, and nobody wants to know.
  work.catch(() => undefined);
  return Promise.race([work, ended.then(() => undefined)]);
}

async function judge(check: () => Promise<void>): Promise<Verdict> {
  try {
    await check();
    return { kind: 'passed' };
  } catch (error) {
    if (error instanceof Unmet) return { kind: 'failed', expected: error.expected, seen: error.seen };
    if (error instanceof NotApplicable) return { kind: 'not applicable', reason: error.message };
    throw error;
  }
}
