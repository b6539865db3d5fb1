import { defineEvent } from 'postcommit';
import { defineService } from 'postcommit/catalog';
import { z } from 'zod';

/** Fat: whoever reads it needs to ask nobody. */
export const registered = defineEvent({
  type: 'patient.registered',
  subject: '{country}.patient.{id}',
  key: 'id',
  schema: z.object({
    id: z.string().min(1),
    country: z.enum(['ng', 'gb']),
    name: z.string(),
    phone: z.string().optional(),
  }),
  description: 'A clinic has registered a patient.',
  example: { id: '7', country: 'ng', name: 'Ada' },
});

/** Thin: that something happened, and to whom. */
export const letterSent = defineEvent({
  type: 'letter.sent',
  subject: '{country}.letter.{patient}',
  key: 'patient',
  schema: z.object({ country: z.string(), patient: z.string() }),
});

export const registry = defineService({
  name: 'patient-registry',
  version: '1.0.0',
  streams: [{ name: 'patients', subjects: ['*.patient.>', '*.letter.>'], maxAgeMs: 30 * 24 * 3_600_000 }],
  produces: [registered, letterSent],
  consumes: [{ stream: 'patients', durable: 'letters', events: [registered, letterSent] }],
});
