const HALF_A_PAIR = /\p{Surrogate}/gu;
/** What the NATS binding of CloudEvents encodes: everything but U+0021 to U+007E, and of those `"` and `%`. */
const TO_ENCODE = /[^!#$&-~]+/gu;

/**
 * The value of a CloudEvents attribute as a header has it (NATS binding 1.0.3, section 3.1.3.2). Half a surrogate pair, which is
 * no character, becomes U+FFFD.
 */
export function encodeAttribute(value: string): string {
  return value.replace(HALF_A_PAIR, '\ufffd').replace(TO_ENCODE, encodeURIComponent);
}

/**
 * What a header says of an attribute; undefined where it is encoded wrongly. Quoted values, as older producers wrote them, are
 * read too, and characters that ought to have been encoded are taken as they are.
 */
export function decodeAttribute(header: string): string | undefined {
  const text = unquoted(header);
  if (text?.includes('%') !== true) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined; // A `%` that begins no byte, or bytes that are no UTF-8.
  }
}

function unquoted(header: string): string | undefined {
  if (!header.startsWith('"')) return header;
  const inner = /^"((?:[^"\\]|\\.)*)"$/su.exec(header)?.[1];
  return inner?.replace(/\\(.)/gsu, '$1');
}
