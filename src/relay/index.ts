export { createMetrics, type Metrics } from '../telemetry/metrics.ts';
export type { LaneOptions, RelayOptions } from './options.ts';
export {
  createRelay,
  type LaneStatus,
  type Relay,
  type RelayRole,
  type RelayStatus,
  type StopOptions,
} from './relay.ts';
