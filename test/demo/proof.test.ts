import { expect, test } from 'vitest';
import { type Facts, prove } from '../../src/demo/proof.ts';
import { summary } from '../../src/demo/report.ts';

const IDS = ['a1', 'b1', 'a2', 'a3', 'b2'];

const COMMITTED = IDS.map((id) => ({ id, patient: id.slice(0, 1), version: Number(id.slice(1)) }));

function facts(changed: Partial<Facts> = {}): Facts {
  return {
    committed: COMMITTED,
    rolledBack: ['x1', 'x2'],
    stream: IDS,
    effects: IDS,
    differences: 0,
    redelivered: 5,
    refused: 5,
    ...changed,
  };
}

test('everything once and in order is proof', () => {
  const proof = prove(facts());
  expect(proof.ok).toBe(true);
  expect(summary(proof)).toBe('committed 5, in stream 5, effects 5, lost 0, phantom 0, twice 0, order kept');
});

test('the order of different patients is of no account', () => {
  expect(prove(facts({ stream: ['b1', 'b2', 'a1', 'a2', 'a3'] })).ok).toBe(true);
});

test.each(['stream', 'effects'] as const)('a lost event fails in %s', (where) => {
  const proof = prove(facts({ [where]: IDS.filter((id) => id !== 'a2') }));
  expect(proof).toMatchObject({ ok: false, [where]: { lost: 1, phantom: 0, twice: 0, disordered: 0 } });
});

test.each(['stream', 'effects'] as const)('a doubled event fails in %s, and is no disorder', (where) => {
  const proof = prove(facts({ [where]: [...IDS, 'a1'] }));
  expect(proof).toMatchObject({ ok: false, [where]: { lost: 0, phantom: 0, twice: 1, disordered: 0 } });
});

test.each(['stream', 'effects'] as const)('an event before its predecessor fails in %s', (where) => {
  const proof = prove(facts({ [where]: ['a1', 'b1', 'a3', 'a2', 'b2'] }));
  expect(proof).toMatchObject({ ok: false, [where]: { lost: 0, phantom: 0, twice: 0, disordered: 1 } });
});

test.each(['stream', 'effects'] as const)('a rolled-back event fails in %s', (where) => {
  const proof = prove(facts({ [where]: [...IDS, 'x2'] }));
  expect(proof).toMatchObject({ ok: false, [where]: { phantom: 1, rolledBack: 1, twice: 0 } });
});

test('an event that nobody wrote fails, even beside a lost one of the same count', () => {
  const proof = prove(facts({ stream: [...IDS.slice(1), 'unknown'] }));
  expect(proof).toMatchObject({ ok: false, stream: { count: 5, lost: 1, phantom: 1, rolledBack: 0 } });
  expect(summary(proof)).toContain('lost 1, phantom 1');
});

test('a rollback that the ledger knows fails', () => {
  expect(prove(facts({ rolledBack: ['a1'] })).ok).toBe(false);
});

test('a read model that differs, and a redelivery that had an effect or was left out, fail', () => {
  expect(prove(facts({ differences: 1 })).ok).toBe(false);
  expect(prove(facts({ refused: 4 })).ok).toBe(false);
});

test('nothing committed proves nothing', () => {
  expect(prove(facts({ committed: [], stream: [], effects: [], redelivered: 0, refused: 0 })).ok).toBe(false);
});
