import { expect, test } from 'vitest';
import { createCanaries } from './canaries.ts';

const canaries = createCanaries();
const canary = canaries.plant('a secret');

test.each([
  ['as it is', canary],
  ['in base64', Buffer.from(`xy${canary}z`).toString('base64')],
  ['in base64, behind other letters', `a${Buffer.from(canary).toString('base64')}`],
  ['in base64url', Buffer.from(`?>${canary}`).toString('base64url')],
  ['in hexadecimal, as bytea prints it', `\\x${Buffer.from(canary).toString('hex')}`],
  ['percent-encoded', [...canary].map((letter) => `%${letter.charCodeAt(0).toString(16)}`).join('')],
])('a canary is found %s', (_, written) => {
  const places = new Map([['the log', `before {"text": "${written}"} behind`]]);
  expect(canaries.foundIn(places)).toEqual(['a secret in the log']);
});

test('nothing is found where nothing is', () => {
  expect(canaries.foundIn(new Map([['the log', canary.slice(0, -1)]]))).toEqual([]);
});
