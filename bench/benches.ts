import type { Bench } from './context.ts';
import { consoleOpen } from './scenarios/console.ts';
import { drain } from './scenarios/drain.ts';
import { rivals } from './scenarios/rivals.ts';

/** In the order in which they run. */
export const BENCHES: Readonly<Record<string, Bench>> = {
  drain,
  rivals,
  console: consoleOpen,
};
