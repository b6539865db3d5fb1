import { consumers } from './consumer-row.ts';
import { overview } from './overview-row.ts';
import type { Row } from './panels.ts';
import { processes } from './process-row.ts';
import { lanes, outbox, relay } from './relay-rows.ts';

/** From the top down. */
export const ROWS: readonly Row[] = [overview, relay, lanes, outbox, consumers, processes];
