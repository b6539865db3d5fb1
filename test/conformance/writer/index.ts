import type { Stage } from '../stage.ts';
import type { Rule } from '../verdict.ts';
import { CONTENT } from './content.ts';
import { REFUSALS } from './refusals.ts';
import { TRANSACTIONS } from './transactions.ts';

/** In the order of their numbers. */
export const WRITER_RULES: readonly Rule<Stage>[] = [...TRANSACTIONS, ...CONTENT, ...REFUSALS].sort(
  (a, b) => Number(a.id.slice(3)) - Number(b.id.slice(3)),
);
