import { createRelay, type LaneOptions, type Relay, type RelayOptions } from '../../../src/relay/index.ts';
import { createLogger } from '../../../src/telemetry/logger.ts';
import { createMetrics, type Metrics } from '../../../src/telemetry/metrics.ts';
import { startTcpProxy, type TcpProxy } from '../../../src/testing/index.ts';
import { until } from './waiting.ts';
import { createWire, type Wire } from './wire.ts';

/** A relay in this process, its ways to both servers through proxies of its own. */
export interface DirectedRelay extends AsyncDisposable {
  readonly relay: Relay;
  readonly metrics: Metrics;
  readonly postgres: TcpProxy;
  readonly nats: TcpProxy;
  /** What passes to each server can be held there. */
  readonly wires: Readonly<Record<'postgres' | 'nats', Wire>>;
  readonly lines: readonly Readonly<Record<string, unknown>>[];
  /** False if its lane is not in this state in time. */
  untilLane(state: 'publishing' | 'paused', withinMs?: number): Promise<boolean>;
  /** False if it does not lead in time. */
  untilLeader(withinMs?: number): Promise<boolean>;
  /** Sum of a counter over its labels. */
  count(metric: 'sweepFoundEvents' | 'duplicateAcks' | 'healedEvents'): Promise<number>;
  /** Nothing more of it reaches a server, and it is told nothing more: to both it is dead. */
  kill(): Promise<void>;
}

export interface DirectedRelayOptions extends Partial<Omit<RelayOptions, 'lanes'>> {
  readonly lane?: Partial<LaneOptions>;
  /** Instead of the one on the stage's stream. */
  readonly lanes?: readonly LaneOptions[];
  /** By way of a pooler. Default: the stage's own URL. */
  readonly database?: string;
}

export async function startDirectedRelay(
  { databaseUrl: direct, natsUrl, stream }: { databaseUrl: string; natsUrl: string; stream: string },
  { lane, lanes, database: databaseUrl = direct, ...options }: DirectedRelayOptions,
): Promise<DirectedRelay> {
  const wires = { postgres: createWire(), nats: createWire() };
  const postgres = await startTcpProxy({
    port: Number(new URL(databaseUrl).port),
    tap: wires.postgres.tap,
  });
  const nats = await startTcpProxy({ port: Number(new URL(natsUrl).port), tap: wires.nats.tap });
  const lines: Record<string, unknown>[] = [];
  const metrics = createMetrics();
  const relay = createRelay({
    leaseTtlMs: 2_000,
    ...options,
    databaseUrl: () => postgres.through(databaseUrl),
    nats: () => ({ servers: [nats.through(natsUrl)] }),
    lanes: lanes ?? [{ stream, subjects: [`${stream}.>`], ...lane }],
    logger: createLogger({ destination: { write: (line: string) => void lines.push(JSON.parse(line)) } }),
    metrics,
  });
  const end = async () => {
    await relay.stop({ graceMs: 0 });
    await Promise.all([postgres[Symbol.asyncDispose](), nats[Symbol.asyncDispose]()]);
  };
  const laneState = () => relay.status().lanes[0]?.state;
  try {
    await relay.start();
  } catch (error) {
    await end();
    throw error;
  }
  return {
    relay,
    metrics,
    postgres,
    nats,
    wires,
    lines,
    untilLane: (state, withinMs = 8_000) => until(() => laneState() === state, withinMs),
    untilLeader: (withinMs = 8_000) => until(() => relay.status().role === 'leader', withinMs),
    async count(metric) {
      const { values } = await metrics[metric].get();
      return values.reduce((sum, { value }) => sum + value, 0);
    },
    async kill() {
      for (const proxy of [postgres, nats]) {
        proxy.refuse();
        proxy.cut();
      }
      await relay.stop({ graceMs: 0 });
    },
    [Symbol.asyncDispose]: end,
  };
}
