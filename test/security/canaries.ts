import { randomBytes } from 'node:crypto';

/** Secrets and data that are planted, by what they stand for, and must be found nowhere. */
export interface Canaries {
  /** A new one, of letters and digits. */
  plant(name: string): string;
  /** Registers one of another form: a seed, a line of a key. */
  register(name: string, value: string): string;
  readonly count: number;
  /** `canary in place`, for whatever is found, as it is or encoded in base64, hexadecimal or as a part of a URL. */
  foundIn(places: ReadonlyMap<string, string>): string[];
}

export function createCanaries(): Canaries {
  const planted = new Map<string, string>();
  const register = (name: string, value: string) => {
    if (planted.has(name)) throw new Error(`there is a canary "${name}" already`);
    planted.set(name, value);
    return value;
  };
  return {
    plant: (name) => register(name, `canary${randomBytes(10).toString('hex')}`),
    register,
    get count() {
      return planted.size;
    },
    foundIn(places) {
      return [...places].flatMap(([place, text]) => {
        const readable = [text, ...decodedParts(text)].join('\n');
        return [...planted].flatMap(([name, value]) =>
          readable.includes(value) ? [`${name} in ${place}`] : [],
        );
      });
    },
  };
}

/** What stands in a text in other letters. */
function* decodedParts(text: string): Generator<string> {
  for (const [word] of text.matchAll(/[0-9a-f]{16,}/gi)) yield Buffer.from(word, 'hex').toString('latin1');
  // A word may begin in the midst of what was encoded.
  for (const [word] of text.matchAll(/[A-Za-z0-9+/_-]{16,}/g))
    for (const from of [0, 1, 2, 3]) yield Buffer.from(word.slice(from), 'base64').toString('latin1');
  for (const [word] of text.matchAll(/\S*%[0-9a-f]{2}\S*/gi)) yield decodeLeniently(word);
}

function decodeLeniently(word: string): string {
  return word.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
