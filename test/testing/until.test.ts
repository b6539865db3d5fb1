import { AssertionError } from 'node:assert';
import { expect, test } from 'vitest';
import { until } from '../../src/testing/index.ts';

test('resolves to the first thing that is something, past what throws', async () => {
  let looks = 0;
  const found: { name: string } = await until(
    async () => {
      looks++;
      if (looks === 1) throw new Error('not yet');
      return looks < 4 ? undefined : { name: 'Ada' };
    },
    { everyMs: 1 },
  );
  expect([found, looks]).toEqual([{ name: 'Ada' }, 4]);
});

test('says how long it waited, for what, and what the last look threw', async () => {
  const cause = new Error('2 rows');
  const error = await until(() => Promise.reject(cause), {
    timeoutMs: 30,
    what: 'there are 3 rows',
  }).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(AssertionError);
  expect(error).toMatchObject({
    message: 'waited 30 ms in vain until there are 3 rows; the last look failed: 2 rows',
    cause,
  });
  await expect(until(() => false, { timeoutMs: 10 })).rejects.toThrow(
    /^waited 10 ms in vain until the condition holds$/,
  );
});

test('a look that never ends ends with the time', async () => {
  const never = new Promise<boolean>(() => undefined);
  await expect(until(() => never, { timeoutMs: 30 })).rejects.toThrow(
    'waited 30 ms in vain until the condition holds; the last look was not answered',
  );
});
