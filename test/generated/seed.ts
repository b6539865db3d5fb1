import { randomInt } from 'node:crypto';

/** What `npm test` generates is the same every time, so that a failure says something about the change at hand. */
const USUAL = 20_261_124;

/**
 * The seed of a test's generated input. `POSTCOMMIT_TEST_SEED` sets it; `random` draws one. It is printed, and with it
 * a failure repeats.
 */
export function seedFor(what: string): number {
  const given = process.env.POSTCOMMIT_TEST_SEED ?? '';
  const seed = given === 'random' ? randomInt(2 ** 31) : given === '' ? USUAL : Number(given);
  if (!Number.isSafeInteger(seed)) throw new Error('POSTCOMMIT_TEST_SEED must be a whole number or "random"');
  process.stdout.write(`generated ${what}: POSTCOMMIT_TEST_SEED=${seed}\n`);
  return seed;
}

/** `POSTCOMMIT_TEST_GENERATED=10` generates ten times as much. */
export function howMany(usual: number): number {
  return Math.ceil(usual * Number(process.env.POSTCOMMIT_TEST_GENERATED ?? '1'));
}
