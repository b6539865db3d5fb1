import type { Bench } from './context.ts';
import { bloat } from './scenarios/bloat.ts';
import { consoleOpen } from './scenarios/console.ts';
import { consumers } from './scenarios/consumers.ts';
import { drain } from './scenarios/drain.ts';
import { failover } from './scenarios/failover.ts';
import { footprint } from './scenarios/footprint.ts';
import { gaps } from './scenarios/gaps.ts';
import { lanes } from './scenarios/lanes.ts';
import { latency } from './scenarios/latency.ts';
import { memory } from './scenarios/memory.ts';
import { orderings } from './scenarios/orderings.ts';
import { rivals } from './scenarios/rivals.ts';
import { scale } from './scenarios/scale.ts';
import { sizes } from './scenarios/sizes.ts';
import { wal } from './scenarios/wal.ts';
import { writers } from './scenarios/writers.ts';

/** In the order in which they run. */
export const BENCHES: Readonly<Record<string, Bench>> = {
  drain,
  rivals,
  writers,
  wal,
  bloat,
  gaps,
  latency,
  consumers,
  failover,
  orderings,
  sizes,
  lanes,
  memory,
  footprint,
  scale,
  console: consoleOpen,
};
