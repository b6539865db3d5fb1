import { expect, test } from 'vitest';
import { createRandom } from '../../src/demo/random.ts';
import { planWorkload } from '../../src/demo/workload.ts';

const plan = planWorkload(createRandom('7'), 12);
const visits = plan.clinics.flatMap((clinic) => clinic.visits);

test('a seed repeats the whole plan, another one does not', () => {
  expect(planWorkload(createRandom('7'), 12)).toEqual(plan);
  expect(planWorkload(createRandom('8'), 12)).not.toEqual(plan);
});

test('there are rollbacks, savepoints, slow transactions and kills of both kinds', () => {
  const share = visits.filter(({ ending }) => ending === 'rollback').length / visits.length;
  expect(share).toBeGreaterThan(0.1);
  expect(share).toBeLessThan(0.2);
  expect(visits.some(({ changes }) => changes.some(({ undone }) => undone))).toBe(true);
  expect(visits.some(({ holdMs }) => holdMs >= 700)).toBe(true);
  expect(new Set(plan.imports.map(({ kill }) => kill))).toEqual(new Set(['leader', 'everyone']));
  expect(plan.imports.length).toBeGreaterThanOrEqual(3);
});

test('a visit takes its patients in the order of their ids, each once: no two wait in a circle', () => {
  for (const { changes } of visits) {
    const patients = changes.map(({ patient }) => patient);
    expect(patients).toEqual([...new Set(patients)].sort((a, b) => a - b));
  }
});

test('imports bring patients nobody else has, and are killed before their end', () => {
  const imported = plan.imports.flatMap(({ firstPatient, patients }) =>
    Array.from({ length: patients }, (_, place) => firstPatient + place),
  );
  const visited = new Set(visits.flatMap(({ changes }) => changes.map(({ patient }) => patient)));
  expect(new Set(imported).size).toBe(imported.length);
  expect(imported.filter((patient) => visited.has(patient))).toEqual([]);
  for (const { killAfter, patients } of plan.imports) {
    expect(killAfter).toBeGreaterThan(0);
    expect(killAfter).toBeLessThan(patients);
  }
});
