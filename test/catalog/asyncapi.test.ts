import { Parser } from '@asyncapi/parser';
import { toStandardJsonSchema } from '@valibot/to-json-schema';
import { type } from 'arktype';
import * as v from 'valibot';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { describeService, readAsyncApi, toAsyncApi } from '../../src/catalog/index.ts';
import { defineEvent } from '../../src/index.ts';
import { clinic, registered, registry, serviceOf } from './patients.ts';

const parser = new Parser();

async function parsed(document: object) {
  const { document: found, diagnostics } = await parser.parse(JSON.stringify(document));
  const faults = diagnostics
    .filter(({ severity }) => severity <= 1)
    .map(({ message, path }) => `${path.join('.')}: ${message}`);
  return { found, faults };
}

test.each([registry, clinic])('the parser of AsyncAPI finds no fault ($name)', async (service) => {
  const { found, faults } = await parsed(toAsyncApi(await describeService(service)));
  expect(faults).toEqual([]);
  expect(found?.info().title()).toBe(service.name);
});

test('the parser would find one', async () => {
  const document = toAsyncApi(await describeService(registry));
  const { faults } = await parsed({ ...document, operations: { broken: { action: 'shout' } } });
  expect(faults.join(' ')).toContain('operations.broken');
});

test('it says where an event goes, what is in it and who sends it', async () => {
  const { found } = await parsed(toAsyncApi(await describeService(registry)));
  const [message] = found?.messages().filter((each) => each.id() === 'patient.registered.v1') ?? [];
  expect(message?.title()).toBe('Patient registered');
  expect(message?.payload()?.required()).toEqual(['id', 'country', 'name']);
  expect(message?.examples().all()[0]?.payload()).toEqual({ id: '7', country: 'ng', name: 'Ada' });
  const channel = found?.channels().get('country.patient.id');
  expect(channel?.address()).toBe('{country}.patient.{id}');
  expect(channel?.parameters().get('id')?.description()).toBe('Computed from the payload.');
  const sends = found
    ?.operations()
    .filterBySend()
    .map((operation) => operation.id());
  expect(sends).toEqual(['send.patient.registered.v1', 'send.patient.registered.v2']);
  const receives = found
    ?.operations()
    .filterByReceive()
    .map((operation) => operation.id());
  expect(receives).toEqual(['receive.movers.ng.move', 'receive.movers.country.patient.id']);
});

test.each([registry, clinic])('the catalog comes out of the document again ($name)', async (service) => {
  const described = await describeService(service);
  expect(readAsyncApi(JSON.parse(JSON.stringify(toAsyncApi(described))), 'it')).toEqual(described);
});

test.each([
  [{}, 'asyncapi'],
  [{ asyncapi: '2.6.0' }, 'asyncapi'],
  [{ asyncapi: '3.0.0', info: { title: 'x', version: '1' }, channels: {}, operations: {} }, 'components'],
  [null, ''],
])('%j is no document of ours', (document, what) => {
  expect(() => readAsyncApi(document, 'a.json')).toThrow(
    expect.objectContaining({ code: 'config-invalid', message: expect.stringMatching(`a.json .*${what}`) }),
  );
});

test('schemas of other libraries are written as well', async () => {
  const events = [
    defineEvent({
      type: 'a',
      subject: 'a',
      schema: toStandardJsonSchema(v.object({ id: v.pipe(v.string(), v.minLength(1)) })),
    }),
    defineEvent({ type: 'b', subject: 'b', schema: type({ id: 'string >= 1' }) }),
    defineEvent({ type: 'c', subject: 'c', schema: z.object({ id: z.string().min(1) }) }),
  ];
  const { produces } = await serviceOf(...events);
  for (const { schema } of produces)
    expect(schema).toMatchObject({
      type: 'object',
      required: ['id'],
      properties: { id: { type: 'string', minLength: 1 } },
    });
});

test('a library that cannot is told of, with the way out', async () => {
  const schema = v.object({ id: v.string() });
  const silent = defineEvent({ type: 'a', subject: 'a', schema });
  await expect(serviceOf(silent)).rejects.toMatchObject({
    code: 'config-invalid',
    message: expect.stringContaining('valibot does not write JSON Schema by itself'),
    hint: expect.stringContaining('toStandardJsonSchema'),
  });
  const jsonSchema = { type: 'object', properties: { id: { type: 'string' } } };
  const given = await serviceOf(defineEvent({ type: 'a', subject: 'a', schema, jsonSchema }));
  expect(given.produces[0]?.schema).toEqual(jsonSchema);
});

test('an example that would be refused is no example', async () => {
  const event = defineEvent({
    type: 'a',
    subject: 'a',
    schema: z.object({ id: z.string().min(3) }),
    example: { id: '7' },
  });
  await expect(serviceOf(event)).rejects.toMatchObject({
    code: 'config-invalid',
    message: expect.stringContaining('the example of a version 1 would be refused'),
  });
});

test('whatever a type is called, its name is one of AsyncAPI', async () => {
  const odd = defineEvent({ type: 'com.example/patient:registered~é', subject: 'a.b', schema: z.object({}) });
  const described = await serviceOf(odd, registered);
  const { faults } = await parsed(toAsyncApi(described));
  expect(faults).toEqual([]);
  expect(readAsyncApi(toAsyncApi(described), 'it')).toEqual(described);
});
