import { type } from 'arktype';
import * as v from 'valibot';
import { expect, test } from 'vitest';
import { z } from 'zod';
import type { StandardSchema } from '../../src/contracts/standard-schema.ts';
import { toOutboxEvent } from '../../src/contracts/typed-event.ts';
import { defineEvent, type InvalidPayload, readEvent } from '../../src/index.ts';

const registered = defineEvent({
  type: 'patient.registered',
  version: 2,
  subject: 'ng.patient.{id}',
  key: 'id',
  schema: z.object({ id: z.string(), name: z.string(), visits: z.number().default(0) }),
});

function written({ payload }: { payload: unknown }): unknown {
  return JSON.parse(Buffer.from(payload as Uint8Array).toString());
}

async function refusal(promise: Promise<unknown>): Promise<InvalidPayload> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ code: 'event-invalid' });
  return error as InvalidPayload;
}

test('an event has the subject, key, type and version that were declared', async () => {
  const event = await toOutboxEvent(
    registered({ id: 'a.b', name: 'Ada' }, { headers: { tenant: '7' }, eventId: 'e' }),
  );
  expect(event).toMatchObject({
    subject: 'ng.patient.a%2Eb',
    key: 'a.b',
    type: 'patient.registered',
    headers: { 'Event-Version': '2', tenant: '7' },
    eventId: 'e',
  });
  expect(written(event)).toEqual({ id: 'a.b', name: 'Ada', visits: 0 });
});

test('nobody says another version by a header', async () => {
  const { headers } = await toOutboxEvent(
    registered({ id: '7', name: 'Ada' }, { headers: { 'event-version': '9' } }),
  );
  expect(headers).toEqual({ 'Event-Version': '2' });
});

test('what the schema does not know is not written', async () => {
  const row = { id: '7', name: 'Ada', password: 'secret' };
  expect(written(await toOutboxEvent(registered(row)))).toEqual({ id: '7', name: 'Ada', visits: 0 });
});

test('a payload that does not match is refused with each place', async () => {
  const { message, issues } = await refusal(toOutboxEvent(registered({ id: 7, name: [] } as never)));
  expect(issues.map(({ path }) => path)).toEqual(['id', 'name']);
  expect(message).toContain('patient.registered version 2');
  expect(message).toContain('id: Invalid input: expected string, received number');
});

const emails: Record<string, StandardSchema<{ email: string }>> = {
  zod: z.object({ email: z.email() }),
  valibot: v.object({ email: v.pipe(v.string(), v.email()) }),
  arktype: type({ email: 'string.email' }),
};

test.each(Object.entries(emails))(
  'the words of %s are without what stands in the payload',
  async (_, schema) => {
    const event = defineEvent({ type: 'a', subject: 'a', schema });
    const { message, issues } = await refusal(toOutboxEvent(event({ email: 'geheim-4711' })));
    expect(issues).toEqual([{ path: 'email', message: expect.any(String) }]);
    expect(message).not.toContain('geheim');
    expect(message).not.toContain('4711');
  },
);

test('nor what stands below the place that is wrong', async () => {
  const schema = type({ name: "'ada' | 'bob'" }).or({ id: 'number' });
  const event = defineEvent({ type: 'a', subject: 'a', schema });
  const { message } = await refusal(toOutboxEvent(event({ name: 'geheim', id: 'auch-geheim' } as never)));
  expect(message).not.toContain('geheim');
});

test('a schema that does not accept its own result is found out by the writer', async () => {
  const oneWay = defineEvent({
    type: 'a',
    subject: 'a',
    schema: z.object({ at: z.string().transform((text) => text.length) }),
  });
  const { message } = await refusal(toOutboxEvent(oneWay({ at: 'noon' })));
  expect(message).toContain('no consumer could read a version 1');
  const dates = defineEvent({ type: 'a', subject: 'a', schema: z.object({ at: z.coerce.date() }) });
  const event = await toOutboxEvent(dates({ at: new Date(0) }));
  expect(written(event)).toEqual({ at: '1970-01-01T00:00:00.000Z' });
});

test.each([
  [z.bigint(), 7n, 'cannot be written as JSON'],
  [z.undefined(), undefined, 'JSON cannot express'],
])('%# what JSON cannot express is refused', async (schema, payload, what) => {
  const event = defineEvent({ type: 'a', subject: 'a', schema: schema as StandardSchema });
  expect((await refusal(toOutboxEvent(event(payload)))).message).toContain(what);
});

test.each([[''], [undefined]])('a key that is %j is refused', async (id) => {
  const event = defineEvent({
    type: 'a',
    subject: 'a',
    schema: z.object({ id: z.string().optional() }),
    key: ({ id: key }) => key as string,
  });
  expect((await refusal(toOutboxEvent(event({ id })))).message).toContain('has no key');
});

test.each([
  [{ type: 'a b' }, 'its type'],
  [{ type: '' }, 'its type'],
  [{ version: 0 }, 'the version of a'],
  [{ version: 1.5 }, 'the version of a'],
  [{ schema: {} }, 'Standard Schema'],
  [{ key: 7 }, 'the key of a'],
  [{ subject: 'a.*' }, "'a.*'"],
  [{ parameters: { id: () => '7' } }, "no parameter 'id'"],
])('%j is refused where it is declared', (wrong, what) => {
  const options = { type: 'a', subject: 'a', schema: z.object({}), ...wrong };
  expect(() => defineEvent(options as never)).toThrow(
    expect.objectContaining({ code: 'config-invalid', message: expect.stringContaining(what) }),
  );
});

test('what was written is read as it was meant', async () => {
  const event = await toOutboxEvent(registered({ id: 'a.b', name: 'Ada' }));
  const message = {
    subject: event.subject,
    type: event.type ?? null,
    headers: event.headers ?? {},
    json: () => written(event),
  };
  expect(await readEvent(registered, message)).toEqual({
    kind: 'read',
    data: { id: 'a.b', name: 'Ada', visits: 0 },
    parameters: { id: 'a.b' },
  });
  expect(await readEvent(registered, { ...message, subject: 'replay.ng.patient.7' })).toMatchObject({
    parameters: {},
  });
});

test('what is no JSON is said to be none, without what it is', async () => {
  const message = { subject: 'a', type: 'a', headers: {}, json: () => JSON.parse('geheim') };
  expect(await readEvent(registered, message)).toEqual({
    kind: 'invalid',
    issues: [{ path: '', message: 'the payload is not JSON' }],
  });
});
