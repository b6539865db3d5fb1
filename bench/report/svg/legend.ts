import { asMarkup } from '../markup.ts';
import { lookOf } from './style.ts';

export interface Legend {
  readonly drawing: string;
  readonly height: number;
}

const ROW = 19;
const SAMPLE = 30;
const BETWEEN = 14;
/** Of a letter at 13 px, rather too much than too little: there is nothing here that could measure it. */
const LETTER = 7.1;

/** Names beside a piece of their line, in as many rows as they need. */
export function legendOf(
  names: readonly string[],
  { left, top, width }: { left: number; top: number; width: number },
): Legend {
  let [x, row] = [0, 0];
  const entries = names.map((name, i) => {
    const needed = SAMPLE + 6 + name.length * LETTER;
    if (x > 0 && x + needed > width) [x, row] = [0, row + 1];
    const entry = entryOf(name, { index: i, x: left + x, y: top + row * ROW + ROW / 2 });
    x += needed + BETWEEN;
    return entry;
  });
  return { drawing: entries.join(''), height: names.length === 0 ? 0 : (row + 1) * ROW };
}

function entryOf(name: string, { index, x, y }: { index: number; x: number; y: number }): string {
  const { className, dashes } = lookOf(index);
  const at = Math.round(x);
  return `<path class="line ${className}" stroke-dasharray="${dashes}" d="M${at} ${y}h${SAMPLE}"/><text class="name" x="${at + SAMPLE + 6}" y="${y}" dy=".35em">${asMarkup(name)}</text>`;
}
