import type { Stage } from '../stage.ts';
import type { Rule } from '../verdict.ts';
import { EFFECTS } from './effects.ts';
import { MESSAGES } from './messages.ts';
import { UPKEEP } from './upkeep.ts';

export const CONSUMER_RULES: readonly Rule<Stage>[] = [...MESSAGES, ...EFFECTS, ...UPKEEP];
