/**
 * True for what a stream or a durable can be called: the name is a token of subjects and the name of a folder, and
 * the server counts bytes. Half a surrogate pair would become another name on its way.
 */
export function isJetStreamName(text: string): boolean {
  return /^[^\s.*>/\\\p{Cc}\p{Surrogate}]+$/u.test(text) && Buffer.byteLength(text) <= 255;
}
