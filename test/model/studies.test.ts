import { describe, expect, test } from 'vitest';
import { check } from './checker.ts';
import { STUDIES } from './studies.ts';

describe.each(STUDIES)('$name: $about', ({ runs, mutants }) => {
  test.each(runs.filter(({ quick }) => quick))('$name', async (run) => {
    const { answer, complete } = await check(await run.model(), run);
    expect(answer).toEqual({ kind: 'holds' });
    expect(complete).toBe(true);
  });

  test.each(mutants)('without: $name', async (mutant) => {
    const { answer, complete } = await check(await mutant.model(), mutant);
    if (mutant.expect === 'refuted') expect(answer.kind).toBe('violated');
    else expect({ kind: answer.kind, complete }).toEqual({ kind: 'holds', complete: true });
  });
});
