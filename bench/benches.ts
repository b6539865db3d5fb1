import type { Bench } from './context.ts';
import { bloat } from './scenarios/bloat.ts';
import { consoleOpen } from './scenarios/console.ts';
import { drain } from './scenarios/drain.ts';
import { gaps } from './scenarios/gaps.ts';
import { wal } from './scenarios/wal.ts';
import { writers } from './scenarios/writers.ts';

/** In the order in which they run. */
export const BENCHES: Readonly<Record<string, Bench>> = {
  drain,
  writers,
  wal,
  bloat,
  gaps,
  console: consoleOpen,
};
