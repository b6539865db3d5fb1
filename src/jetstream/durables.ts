import { isObject, requestApi } from './api.ts';
import type { BrokerLink } from './connection.ts';
import { filtersOf } from './consumer-config.ts';

/** A consumer of a stream, and how far it is. */
export interface DurableView {
  readonly name: string;
  readonly durable: boolean;
  /** Empty for everything. */
  readonly subjects: readonly string[];
  /** Everything up to here is acknowledged, or none of its business. */
  readonly ackFloor: number;
  readonly delivered: number;
  /** Not delivered yet. */
  readonly pending: number;
  /** Delivered and not acknowledged. */
  readonly ackPending: number;
  readonly redelivered: number;
  /** Requests for messages that are open: 0 while nobody asks. */
  readonly waiting: number;
  /** 0 for no limit. */
  readonly maxDeliver: number;
  /** Of messages under way; 0 for no limit. */
  readonly maxAckPending: number;
  readonly ackPolicy: string;
  /** It began at the first message that the stream held. */
  readonly fromTheStart: boolean;
  /** An operator has paused it (nats-server 2.11). */
  readonly paused: boolean;
}

export type DurablesAnswer =
  | { readonly kind: 'found'; readonly durables: readonly DurableView[]; readonly more: boolean }
  | { readonly kind: 'unavailable'; readonly reason: string };

/** The first 256 consumers of a stream: as many as the server lists at a time. */
export async function listDurables(link: BrokerLink, stream: string): Promise<DurablesAnswer> {
  const answer = await requestApi(link, `CONSUMER.LIST.${stream}`, { timeoutMs: 2_000 });
  if (answer.kind !== 'answer') return { kind: 'unavailable', reason: answer.reason };
  const { consumers, total } = answer.body;
  if (!Array.isArray(consumers)) return { kind: 'found', durables: [], more: false };
  const durables = consumers.map(toView).filter((view) => view !== undefined);
  return { kind: 'found', durables, more: typeof total === 'number' && total > consumers.length };
}

function toView(info: unknown): DurableView | undefined {
  if (!isObject(info) || !isObject(info.config) || typeof info.name !== 'string') return undefined;
  const { config } = info;
  return {
    name: info.name,
    durable: typeof config.durable_name === 'string' && config.durable_name !== '',
    subjects: filtersOf(config),
    ackFloor: sequenceOf(info.ack_floor),
    delivered: sequenceOf(info.delivered),
    pending: numberOf(info.num_pending),
    ackPending: numberOf(info.num_ack_pending),
    redelivered: numberOf(info.num_redelivered),
    waiting: numberOf(info.num_waiting),
    maxDeliver: Math.max(0, numberOf(config.max_deliver)),
    maxAckPending: Math.max(0, numberOf(config.max_ack_pending)),
    ackPolicy: String(config.ack_policy ?? 'none'),
    fromTheStart: (config.deliver_policy ?? 'all') === 'all',
    paused: info.paused === true,
  };
}

function sequenceOf(place: unknown): number {
  return isObject(place) ? numberOf(place.stream_seq) : 0;
}

function numberOf(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}
