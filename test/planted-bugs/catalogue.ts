import type { PlantedBug } from './bug.ts';
import { LEADING } from './leading.ts';
import { PUBLISHING } from './publishing.ts';
import { READING } from './reading.ts';

export const CATALOGUE: readonly PlantedBug[] = [...READING, ...PUBLISHING, ...LEADING];
