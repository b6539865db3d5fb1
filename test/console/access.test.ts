import { expect, test } from 'vitest';
import { type Access, refuseLook, refuseMore } from '../../src/console/access.ts';
import type { Asked } from '../../src/daemon/http-server.ts';

const TOKEN = 'correct horse battery';
const LOCAL: Access = { token: () => TOKEN, hosts: ['postcommit.example'] };

function asked(headers: Record<string, string> = {}): Asked {
  const all: Record<string, string> = { host: '127.0.0.1:9465', ...headers };
  return { query: new URLSearchParams(), header: (name) => all[name] ?? null, body: '', from: '127.0.0.1' };
}

test.each([
  ['127.0.0.1:9465', undefined],
  ['localhost', undefined],
  ['LOCALHOST:80', undefined],
  ['[::1]:9465', undefined],
  ['127.8.9.1', undefined],
  ['10.1.2.3:9465', undefined],
  ['[fd00::1]:9465', undefined],
  ['postcommit.example', undefined],
  ['Postcommit.Example:443', undefined],
  ['www.postcommit.example', 421],
  ['evil.example', 421],
  ['127.0.0.1.evil.example:9465', 421],
  ['localhost.evil.example', 421],
  ['', 421],
])('it answers to addresses, to localhost and to the names it was given: %s', (host, status) => {
  expect(refuseLook(LOCAL, asked({ host }))?.status).toBe(status);
});

test.each([
  [{}, 401],
  [{ authorization: 'Bearer wrong horse battery' }, 401],
  [{ authorization: `Basic ${TOKEN}` }, 401],
  [{ authorization: 'Bearer ' }, 401],
  [{ cookie: `token=${TOKEN}` }, 401],
  [{ authorization: `Bearer ${TOKEN}`, host: 'evil.example' }, 421],
])('more than a look takes the token, as a header: %o is refused with %i', (headers, status) => {
  expect(refuseMore(LOCAL, asked(headers as Record<string, string>))?.status).toBe(status);
});

test('the token opens; where none is set nothing does', () => {
  const headers = { authorization: 'Bearer correct horse', host: 'localhost' };
  expect(refuseMore({ ...LOCAL, token: () => 'correct horse' }, asked(headers))).toBeUndefined();
  expect(refuseMore({ ...LOCAL, token: () => null }, asked(headers))?.status).toBe(403);
});
