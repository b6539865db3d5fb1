import { isUtf8 } from 'node:buffer';

/** What a JSON text can begin with: most payloads that are none are told by it. */
const BEGINS: ReadonlySet<number | undefined> = new Set(Buffer.from('{["-0123456789tfn \t\r\n'));

/** Larger ones are not looked through: the parsed value takes many times as much memory. */
const LARGEST = 1_000_000;

/** The payload is one JSON text in UTF-8. False, too, for one of more than a megabyte. */
export function isJson(payload: Uint8Array): boolean {
  if (!BEGINS.has(payload[0]) || payload.length > LARGEST || !isUtf8(payload)) return false;
  try {
    JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString());
    return true;
  } catch {
    return false;
  }
}
