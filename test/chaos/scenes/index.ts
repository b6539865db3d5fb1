import type { Scene } from '../scene.ts';
import { brokerLies } from './broker-lies.ts';
import { capture } from './capture.ts';
import { consumer } from './consumer.ts';
import { crashes, flush } from './crashes.ts';
import { lostTail } from './lost-tail.ts';
import { parking } from './parking.ts';
import { segments } from './segments.ts';
import { system } from './system.ts';
import { twoLeaders } from './two-leaders.ts';

/** In the order in which they are played. */
export const SCENES: readonly Scene[] = [
  system,
  capture,
  parking,
  crashes,
  flush,
  twoLeaders,
  brokerLies,
  lostTail,
  segments,
  consumer,
];
