/** What the compiler says: each `@ts-expect-error` is an error that has to be one, or `npm run types` fails. */
import { type } from 'arktype';
import type pg from 'pg';
import * as v from 'valibot';
import { expectTypeOf, test } from 'vitest';
import { z } from 'zod';
import { consume, on, route } from '../../src/consumer/index.ts';
import { type DataOf, defineEvent, enqueue } from '../../src/index.ts';

const patient = z.object({ id: z.string(), country: z.enum(['ng', 'gb']), name: z.string().default('?') });
const registered = defineEvent({
  type: 'patient.registered',
  subject: '{country}.patient.{id}',
  key: 'id',
  schema: patient,
});

test('a payload has to be what the schema asks for', () => {
  registered({ id: '7', country: 'ng' });
  registered({ id: '7', country: 'ng', name: 'Ada' }, { headers: { tenant: '1' } });
  // @ts-expect-error a number is no id
  registered({ id: 7, country: 'ng' });
  // @ts-expect-error no such country
  registered({ id: '7', country: 'fr' });
  // @ts-expect-error the country is missing
  registered({ id: '7' });
  // @ts-expect-error nobody knows this property
  registered({ id: '7', country: 'ng', ward: 3 });
  expectTypeOf<DataOf<typeof registered>>().toEqualTypeOf<{
    id: string;
    country: 'ng' | 'gb';
    name: string;
  }>();
});

test('parameters and key are properties of the payload, or computed', () => {
  const nested = z.object({ patient: z.object({ id: z.string() }) });
  // @ts-expect-error {id} is no property of the payload, and nothing computes it
  defineEvent({ type: 'a', subject: 'ng.patient.{id}', schema: nested });
  defineEvent({
    type: 'a',
    subject: 'ng.patient.{id}',
    parameters: { id: ({ patient: { id } }) => id },
    key: ({ patient: { id } }) => id,
    schema: nested,
  });
  // @ts-expect-error an object is no key
  defineEvent({ type: 'a', subject: 'a', key: 'patient', schema: nested });
  // @ts-expect-error the example is none
  defineEvent({ type: 'a', subject: 'a', schema: nested, example: { patient: 7 } });
});

test('valibot and arktype say as much', () => {
  const moved = defineEvent({
    type: 'patient.moved',
    subject: '{country}.patient.{id}',
    schema: v.object({ id: v.string(), country: v.string(), rooms: v.number() }),
  });
  // @ts-expect-error rooms is a number
  moved({ id: '7', country: 'ng', rooms: 'two' });
  const left = defineEvent({
    type: 'patient.left',
    subject: 'ng.patient.{id}',
    key: 'id',
    schema: type({ id: 'string', 'reason?': 'string' }),
  });
  left({ id: '7' });
  // @ts-expect-error the reason is text
  left({ id: '7', reason: 7 });
  expectTypeOf<DataOf<typeof left>>().toEqualTypeOf<{ id: string; reason?: string }>();
});

test('handlers know the data, the parameters and the transaction', () => {
  const use = (db: pg.Pool) =>
    consume(
      { nats: '', stream: 'patients', durable: 'letters', db },
      route([
        on(registered, async ({ data, parameters, sequence }, { tx, enqueue: write }) => {
          expectTypeOf(data).toEqualTypeOf<{ id: string; country: 'ng' | 'gb'; name: string }>();
          expectTypeOf(parameters.country).toEqualTypeOf<string | undefined>();
          expectTypeOf(sequence).toEqualTypeOf<number>();
          // @ts-expect-error there is no such property
          data.ward;
          await tx.query('select 1');
          // @ts-expect-error nor such a method of a client
          await tx.insert();
          await write(registered({ id: '8', country: 'gb' }));
        }),
      ]),
    );
  const write = async (tx: pg.PoolClient) => {
    const id: string = await enqueue(tx, registered({ id: '7', country: 'ng' }));
    const ids: string[] = await enqueue(tx, [
      registered({ id: id, country: 'ng' }),
      { subject: 'a', payload: 1 },
    ]);
    return ids;
  };
  expectTypeOf(use).returns.resolves.toHaveProperty('stop');
  expectTypeOf(write).returns.resolves.toEqualTypeOf<string[]>();
});
