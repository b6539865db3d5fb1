import type { Scene } from '../scene.ts';
import { brokerLies } from './broker-lies.ts';
import { crashes, flush } from './crashes.ts';
import { parking } from './parking.ts';
import { system } from './system.ts';

/** In the order in which they are played. */
export const SCENES: readonly Scene[] = [system, parking, crashes, flush, brokerLies];
