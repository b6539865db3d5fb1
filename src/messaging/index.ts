export {
  type CloudEvent,
  type ConsumedEvent,
  type ConsumerDefinition,
  cloudEventOf,
  type DeliverPolicy,
  type NatsTarget,
  type StreamDefinition,
} from '../jetstream/index.ts';
export { type Bus, type BusOptions, openBus, type Stored } from './bus.ts';
export type { CoreMessage, SubscribeOptions, Subscription } from './core.ts';
export { type Difference, describeDifference, type Provisioned } from './drift.ts';
export type { ReadOptions } from './read-stream.ts';
