/** For your service's own tests, in any test runner: servers, what was enqueued, effects, time and faults. */
export type { Clock } from '../lifecycle/clock.ts';
export type { AskedDatabase } from './asked-database.ts';
export { assertEnqueued, type ExpectedEvent } from './assert-enqueued.ts';
export { type EnqueuedEvent, enqueuedIn } from './enqueued.ts';
export { createFakeClock, type FakeClock } from './fake-clock.ts';
export type { FaultyScratch, Scratch } from './scratch.ts';
export { startTestServices, type TestServices, type TestServicesOptions } from './services.ts';
export {
  type CutAfter,
  type Direction,
  type ProxyTarget,
  startTcpProxy,
  type Tap,
  type TcpProxy,
  type Where,
} from './tcp-proxy.ts';
export { type UntilOptions, until } from './until.ts';
export { type EffectOptions, waitForEffect } from './wait-for-effect.ts';
