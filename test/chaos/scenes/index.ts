import type { Scene } from '../scene.ts';
import { parking } from './parking.ts';
import { system } from './system.ts';

/** In the order in which they are played. */
export const SCENES: readonly Scene[] = [system, parking];
