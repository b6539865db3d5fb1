import { expect, test } from 'vitest';
import {
  checkCredentials,
  createAuthenticator,
  parseServers,
  tlsOptions,
} from '../../src/jetstream/settings.ts';

test.each([
  ['nats://10.0.0.1:4223', '10.0.0.1:4223'],
  ['localhost', 'localhost:4222'],
  ['localhost:4299', 'localhost:4299'],
  ['nats://[::1]:4333', '[::1]:4333'],
  ['nats://a:80', 'a:80'],
  ['  tls://host ', 'host:4222'],
  ['nats://host:4299/', 'host:4299'],
])('%s is dialled at %s', (text, address) => {
  expect(parseServers([text])[0]?.address).toBe(address);
});

test('credentials in a URL are decoded and kept out of the address', () => {
  expect(parseServers(['nats://me:p%40ss:word@host:4222'])[0]).toMatchObject({
    address: 'host:4222',
    user: 'me',
    password: 'p@ss:word',
  });
  expect(parseServers(['nats://s3cr3t@host'])[0]).toMatchObject({ address: 'host:4222', token: 's3cr3t' });
});

test.each([
  [[]],
  [['']],
  [['http://host']],
  [['nats://']],
  [['nats://host:99999']],
  [['nats://a:%zz@host']],
  [['a b']],
  [['nats:/host']],
  [['nats://nats://host']],
  [['nats://me:12/34@host']],
  [['nats://me:12?34@host']],
  [['nats://me:12#34@host']],
  [['nats://:password@host']],
])('%j is no address, and the error shows none of it', (servers) => {
  try {
    parseServers(servers);
    expect.unreachable();
  } catch (error) {
    expect(error).toMatchObject({ name: 'PostcommitError', code: 'config-invalid' });
    for (const server of servers) if (server !== '') expect(String(error)).not.toContain(server);
  }
});

test('unusable credentials are told before anything is dialled', () => {
  const unusable = { code: 'config-invalid' };
  expect(() => checkCredentials({ servers: ['a'], creds: 'nonsense' })).toThrow(
    expect.objectContaining(unusable),
  );
  expect(() => checkCredentials({ servers: ['a'], nkeySeed: 'SUnonsense' })).toThrow(
    expect.objectContaining(unusable),
  );
});

test('secrets are read again for each challenge, and the last good ones serve while they cannot be read', () => {
  let password: string | Error = 'old';
  const failures: string[] = [];
  const source = () => {
    if (password instanceof Error) throw password;
    return { servers: ['a'], user: 'me', password };
  };
  const authenticate = createAuthenticator(source, (reason) => failures.push(reason));
  expect(authenticate('n')).toEqual({ user: 'me', pass: 'old' });
  password = 'new';
  expect(authenticate('n')).toEqual({ user: 'me', pass: 'new' });
  password = new Error('ENOENT: /run/secrets/nats');
  expect(authenticate('n')).toEqual({ user: 'me', pass: 'new' });
  expect(failures).toHaveLength(1);
});

test('TLS takes PEM text or paths, and a tls:// address insists on it', () => {
  expect(tlsOptions({ servers: ['nats://a'] })).toBeUndefined();
  expect(tlsOptions({ servers: ['tls://a'] })).toEqual({});
  const pem = '-----BEGIN CERTIFICATE-----\n';
  expect(tlsOptions({ servers: ['a'], tls: { ca: pem, cert: '/c.pem', key: '/k.pem' } })).toEqual({
    ca: pem,
    certFile: '/c.pem',
    keyFile: '/k.pem',
  });
  expect(() => tlsOptions({ servers: ['a'], tls: { cert: '/c.pem' } })).toThrow('NATS_KEY');
});
