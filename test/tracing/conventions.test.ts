import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as conventions from '@opentelemetry/semantic-conventions/incubating';
import { expect, test } from 'vitest';
import { ATTRIBUTE } from '../../src/telemetry/messaging-attributes.ts';

test('attributes have the names of the conventions, or are under messaging.nats', () => {
  const known = new Set<unknown>(Object.values(conventions));
  const own = Object.values(ATTRIBUTE).filter((name) => !known.has(name));
  expect(own.filter((name) => !name.startsWith('messaging.nats.'))).toEqual([]);
  expect(own).toHaveLength(3);
});

test('of OpenTelemetry only the API is needed at run time', () => {
  const read = readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8');
  const { dependencies, peerDependencies } = JSON.parse(read);
  const needed = Object.keys({ ...dependencies, ...peerDependencies });
  expect(needed.filter((name) => name.startsWith('@opentelemetry/'))).toEqual(['@opentelemetry/api']);
});
