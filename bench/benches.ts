import type { Bench } from './context.ts';
import { consoleOpen } from './scenarios/console.ts';
import { drain } from './scenarios/drain.ts';
import { footprint } from './scenarios/footprint.ts';
import { lanes } from './scenarios/lanes.ts';
import { memory } from './scenarios/memory.ts';
import { orderings } from './scenarios/orderings.ts';
import { scale } from './scenarios/scale.ts';
import { sizes } from './scenarios/sizes.ts';

/** In the order in which they run. */
export const BENCHES: Readonly<Record<string, Bench>> = {
  drain,
  orderings,
  sizes,
  lanes,
  memory,
  footprint,
  scale,
  console: consoleOpen,
};
