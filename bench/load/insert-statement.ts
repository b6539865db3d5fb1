const PAYLOAD_BYTES = 256;

/** An INSERT of events under the key `writer-{writer}`, for `startCommitLoad`. */
export function insertOf(stream: string, rows = 1): string {
  const row = `('${stream}.bench', 'writer-{writer}', '${'x'.repeat(PAYLOAD_BYTES)}')`;
  return `insert into postcommit.outbox (subject, key, payload) values ${Array(rows).fill(row).join(', ')}`;
}
