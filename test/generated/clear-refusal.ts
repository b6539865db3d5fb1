import { expect } from 'vitest';
import { flagOf, SETTING_KEYS, settingOf } from '../../src/daemon/settings.ts';
import { PostcommitError } from '../../src/errors.ts';
import { SECRET } from './config-arbitrary.ts';
import type { Refusal } from './doors.ts';

/** It names what is wrong with which field of an event and what is allowed instead. */
export function isClear({ code, message, hint }: Refusal): boolean {
  // A text that is no UUID fails as an argument, before postcommit sees it: PostgreSQL's own words.
  if (code === '22P02') return message.startsWith('invalid input syntax for type uuid');
  return (
    (code === 'event-invalid' || code === '23514') &&
    /subject|key|type|header|payload|eventId/.test(message) &&
    !/violates|constraint/.test(message) &&
    /^[A-Z].{15}/.test(hint) &&
    message.length < 2_000
  );
}

const NAMES = SETTING_KEYS.flatMap((key) => [
  settingOf(key).env,
  `${settingOf(key).env}_FILE`,
  flagOf(key),
  `${flagOf(key)}-file`,
  `${key} in `,
  `${key}File in `,
]);

/** Every problem is named by the setting it was given under, on one line, without a secret. */
export function expectClearConfig(error: Error): void {
  expect(error).toBeInstanceOf(PostcommitError);
  expect(error).toMatchObject({ code: 'config-invalid', hint: expect.stringMatching(/.{20}/) });
  expect(error.message).not.toContain(SECRET);
  const problems = error.message
    .replace(/^the configuration (is invalid: |has \d+ problems:\n {2}- )/, '')
    .split('\n  - ');
  for (const problem of problems) {
    const named =
      NAMES.some((name) => problem.startsWith(name)) ||
      /^(POSTCOMMIT_|--config )|^\S+ in \S+ is no setting of postcommit/.test(problem);
    expect(named, problem).toBe(true);
    // It goes to a terminal.
    expect(problem).not.toMatch(/\p{Cc}/u);
    expect(problem).not.toMatch(/undefined|\[object |NaN/);
  }
}
