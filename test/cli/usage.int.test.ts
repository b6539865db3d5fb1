import { expect, test } from 'vitest';
import { runCli } from '../support/cli.ts';

test.each([
  [[], ['Usage: postcommit', 'migrate', 'relay', 'replay', 'dev', 'Examples:', 'Exit codes:']],
  [['--help'], ['Usage: postcommit', 'Exit codes:']],
  [
    ['migrate', '--help'],
    ['--dry-run', '--max-payload', '--json', 'Examples:', 'Exit codes:', 'DATABASE_URL'],
  ],
  [
    ['relay', '--help'],
    ['--migrate', '--grace', 'POSTCOMMIT_STREAM', 'NATS_CREDS_FILE', 'Examples:', 'Exit codes:'],
  ],
  [
    ['audit', '--help'],
    ['--dry-run', '--wait', '--quiet', '--json', 'Examples:', 'Exit codes:', 'DATABASE_URL'],
  ],
  [
    ['replay', '--help'],
    [
      ...['--all', '--from-position', '--to-position', '--stream', '--from-sequence', '--to-sequence'],
      ...['--since', '--until', '--key', '--subject', '--subject-prefix', '--rate', '--dry-run', '--yes'],
      ...['--wait', '--no-wait', '--follow', '--cancel', '--quiet', '--json'],
      ...['Examples:', 'postcommit replay --cancel 17', 'Exit codes:', 'DATABASE_URL'],
    ],
  ],
  [
    ['doctor', '--help'],
    [
      '--max-lag',
      '--strict',
      '--quiet',
      '--json',
      'Checks:',
      'stream-replicas',
      'Examples:',
      'Exit codes:',
      'NATS_URL',
    ],
  ],
  [
    ['adopt', '--help'],
    ['--stream', '--republish', '--wait', '--json', 'Examples:', 'Exit codes:', 'DATABASE_URL'],
  ],
  [
    ['dead-letters', '--help'],
    ['list', 'show', 'retry', 'discard', 'Examples:', 'Exit codes:'],
  ],
  [
    ['dead-letters', 'retry', '--help'],
    ['--id', '--outcome', '--key', '--all', 'Examples:', 'Exit codes:'],
  ],
  [
    ['dev', '--help'],
    ['--data', '--port-postgres', '--port-nats', '--relay', 'Examples:', 'Exit codes:'],
  ],
  [['help', 'relay'], ['Usage: postcommit relay']],
])('%j prints help on standard output and nothing else', async (args, parts) => {
  const { code, stdout, stderr } = await runCli(args);
  expect([code, stderr]).toEqual([0, '']);
  for (const part of parts) expect(stdout).toContain(part);
  expect(stdout).not.toContain('\u001b');
});

test('--version is the version of the package', async () => {
  expect((await runCli(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});

test.each([
  [['migrat'], "unknown command 'migrat'", 'did you mean migrate?'],
  [['nonsense'], "unknown command 'nonsense'", 'postcommit --help'],
  [['migrate', '--dry-rum'], "unknown option '--dry-rum'", 'did you mean --dry-run?'],
  [['relay', '--nats-password', 'hunter2'], "unknown option '--nats-password'", 'postcommit relay --help'],
  [['migrate', '--max-payload', 'big'], 'Expected a whole number of bytes', 'postcommit migrate --help'],
  [['relay', '--grace', 'soon'], 'Expected a duration', 'postcommit relay --help'],
  [['relay', '--stream'], 'argument missing', 'postcommit relay --help'],
  [['dead-letters', 'show', 'x'], 'Expected a whole number', 'postcommit dead-letters show --help'],
  [['doctor', '--timeout', '1ms'], 'from 100ms to 3650d', 'postcommit doctor --help'],
  [['doctor', 'backlogs'], 'Did you mean backlog?', 'postcommit doctor --help'],
  [['adopt'], "required option '--stream <name>'", 'postcommit adopt --help'],
  [['migrate', 'extra'], 'too many arguments', 'postcommit migrate --help'],
  [['dev', '--port-nats', '0'], 'Expected a port', 'postcommit dev --help'],
])('%j is wrong usage: exit 2, a hint, nothing on standard output', async (args, message, hint) => {
  const { code, stdout, stderr } = await runCli(args);
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr).toContain(message);
  expect(stderr).toContain('hint: ');
  expect(stderr).toContain(hint);
  expect(stderr).not.toContain('hunter2');
  expect(stderr).not.toMatch(/^\s+at /m);
});
