import { type Enqueue, serveWriter, writer } from '../writer.ts';

// A plain INSERT with RETURNING, which needs SELECT on the outbox: no writer has that.
const enqueue: Enqueue = async (client, { subject, payload, payloadBase64, key, type, headers, eventId }) => {
  const bytes = payloadBase64 === undefined ? JSON.stringify(payload) : Buffer.from(payloadBase64, 'base64');
  const { rows } = await client.query<{ id: string }>(
    `INSERT INTO postcommit.outbox (subject, payload, key, type, headers, event_id)
     VALUES ($1, ${payloadBase64 === undefined ? "convert_to($2::jsonb::text, 'UTF8')" : '$2::bytea'}, $3, $4,
             coalesce($5::jsonb, '{}'), coalesce($6::uuid, gen_random_uuid()))
     RETURNING event_id AS id`,
    [subject, bytes, key ?? null, type ?? null, headers ? JSON.stringify(headers) : null, eventId ?? null],
  );
  return rows[0]?.id ?? '';
};
await serveWriter((client) => writer(client, { enqueue }));
