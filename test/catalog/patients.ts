import { z } from 'zod';
import { defineService, describeService } from '../../src/catalog/index.ts';
import type { CatalogService } from '../../src/catalog/model.ts';
import { type AnyEvent, defineEvent } from '../../src/index.ts';

export const registered = defineEvent({
  type: 'patient.registered',
  subject: '{country}.patient.{id}',
  key: 'id',
  title: 'Patient registered',
  description: 'A clinic has registered a patient.\n\nIts `{id}` is of a <clinic> {of} ours.',
  schema: z.object({
    id: z.string(),
    country: z.enum(['ng', 'gb']),
    name: z.string(),
    phone: z.string().optional(),
  }),
  example: { id: '7', country: 'ng', name: 'Ada' },
});

export const registeredSince = defineEvent({
  type: 'patient.registered',
  version: 2,
  subject: '{country}.patient.{id}',
  key: ({ patient: { id } }) => id,
  parameters: { id: ({ patient: { id } }) => id, country: ({ patient: { country } }) => country },
  schema: z.object({ patient: z.object({ id: z.string(), country: z.string() }) }),
});

export const moved = defineEvent({
  type: 'patient.moved',
  subject: 'ng.move',
  schema: z.object({ to: z.string() }),
});

export const registry = defineService({
  name: 'patient-registry',
  version: '1.4.0',
  description: 'Knows all patients.',
  owners: ['registry-team'],
  streams: [{ name: 'patients', subjects: ['*.patient.>'], retention: 'limits', maxAgeMs: 86_400_000 }],
  produces: [registered, registeredSince],
  consumes: [{ stream: 'moves', durable: 'movers', events: [moved, registered] }],
});

export const clinic = defineService({
  name: 'clinic',
  version: '2.0.0',
  produces: [moved],
  consumes: [{ stream: 'patients', durable: 'letters', events: [registered] }],
});

/** A service with these events alone. */
export function serviceOf(...produces: AnyEvent[]): Promise<CatalogService> {
  return describeService(defineService({ name: 'registry', version: '1.0.0', produces }));
}
