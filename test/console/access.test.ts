import { expect, test } from 'vitest';
import { type Access, refuseLook, refuseMore } from '../../src/console/access.ts';
import type { Asked } from '../../src/daemon/http-server.ts';

const TOKEN = 'correct horse battery';
const LOCAL: Access = { token: () => TOKEN, loopback: true };

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
  ['evil.example', 421],
  ['127.0.0.1.evil.example:9465', 421],
  ['localhost.evil.example', 421],
  ['', 421],
])('on a loopback address it answers to names of this machine only: %s', (host, status) => {
  expect(refuseLook(LOCAL, asked({ host }))?.status).toBe(status);
});

test('on another address any name is answered', () => {
  expect(refuseLook({ ...LOCAL, loopback: false }, asked({ host: 'postcommit.example' }))).toBeUndefined();
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
