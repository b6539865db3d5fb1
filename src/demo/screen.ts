import type { Writable } from 'node:stream';
import { cutTo } from './style.ts';

export type Terminal = Writable & {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
};

/** A block at the bottom of the terminal that is redrawn in place, and lines above it that stay. */
export interface Screen {
  /** A line that stays. */
  note(line: string): void;
  /** Draws the block anew; where nothing can be redrawn, writes the plain line instead, once a second. */
  show(block: readonly string[], plain: string): void;
  /** Takes the block away. */
  clear(): void;
}

const PLAIN_EVERY_MS = 1_000;
const ERASE_BELOW = '\u001b[J';
const ERASE_LINE = '\u001b[K';

export function createScreen(output: Terminal): Screen {
  return output.isTTY === true ? createTtyScreen(output) : createPlainScreen(output);
}

function createPlainScreen(output: Writable): Screen {
  let writtenAtMs = Number.NEGATIVE_INFINITY;
  return {
    note: (line) => void output.write(`${line}\n`),
    show(_block, plain) {
      if (performance.now() - writtenAtMs < PLAIN_EVERY_MS) return;
      writtenAtMs = performance.now();
      output.write(`${plain}\n`);
    },
    clear() {},
  };
}

function createTtyScreen(output: Terminal): Screen {
  let drawn: readonly string[] = [];
  const home = () => (drawn.length === 0 ? '' : `\u001b[${drawn.length}A\r`);
  const draw = (block: readonly string[]) => {
    // One column less: a terminal that is full to its edge wraps.
    const columns = (output.columns ?? 80) - 1;
    const lines = block.slice(0, Math.max(1, (output.rows ?? 24) - 1)).map((line) => cutTo(line, columns));
    const text = lines.map((line) => `${line}${ERASE_LINE}\n`).join('');
    output.write(`${home()}${text}${ERASE_BELOW}`);
    drawn = lines;
  };
  const clear = () => {
    output.write(`${home()}${ERASE_BELOW}`);
    drawn = [];
  };
  return {
    note(line) {
      const block = drawn;
      output.write(`${home()}${ERASE_BELOW}${line}\n`);
      drawn = [];
      if (block.length > 0) draw(block);
    },
    show: (block) => draw(block),
    clear,
  };
}
