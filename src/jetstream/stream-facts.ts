import { isObject, requestApi } from './api.ts';
import type { BrokerLink } from './connection.ts';

/** A server that holds a copy of the stream, beside the leader. */
export interface Follower {
  readonly name: string;
  /** It has everything that the leader has. */
  readonly current: boolean;
  readonly offline: boolean;
}

export interface StreamFacts {
  readonly followers: readonly Follower[];
  /** Durable and ephemeral ones. */
  readonly consumers: number;
  /** The server's clock as it answered, in milliseconds of the Unix epoch; undefined before 2.10. */
  readonly serverTimeMs: number | undefined;
}

/** What the stream's leader says of its followers, its consumers and the time; undefined where nothing is to be had. */
export async function lookUpStreamFacts(link: BrokerLink, stream: string): Promise<StreamFacts | undefined> {
  const answer = await requestApi(link, `STREAM.INFO.${stream}`);
  if (answer.kind !== 'answer') return undefined;
  const { cluster, ts, state } = answer.body;
  const followers = isObject(cluster) && Array.isArray(cluster.replicas) ? cluster.replicas : [];
  const timeMs = typeof ts === 'string' ? Date.parse(ts) : Number.NaN;
  return {
    followers: followers.filter(isObject).map((peer) => ({
      name: typeof peer.name === 'string' ? peer.name : 'a server without a name',
      current: peer.current === true,
      offline: peer.offline === true,
    })),
    consumers: isObject(state) ? Number(state.consumer_count ?? 0) : 0,
    serverTimeMs: Number.isNaN(timeMs) ? undefined : timeMs,
  };
}
