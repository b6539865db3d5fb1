import { PostcommitError } from '../errors.ts';

/** What the migration sets: it fits a NATS server's default `max_payload` of 1,048,576 with room for our headers. */
export const DEFAULT_MAX_PAYLOAD = 1_000_000;

/** The largest `max_payload` that a NATS server can be configured with (64 MiB). */
const LARGEST_MAX_PAYLOAD = 67_108_864;

export function assertMaxPayload(bytes: number): void {
  if (Number.isInteger(bytes) && bytes >= 1 && bytes <= LARGEST_MAX_PAYLOAD) return;
  throw new PostcommitError(
    'config-invalid',
    `a maximum payload of ${bytes} bytes is not possible`,
    `Use a whole number from 1 to ${LARGEST_MAX_PAYLOAD} (64 MiB, the largest a NATS server can be set to).`,
  );
}

/** CREATE OR REPLACE keeps the CHECK that calls it, and takes no lock on the outbox. */
export function setMaxPayload(bytes: number): string {
  return `CREATE OR REPLACE FUNCTION postcommit.max_payload() RETURNS integer
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN ${bytes};`;
}
