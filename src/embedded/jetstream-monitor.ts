const TIMEOUT_MS = 2_000;

/** A clustered stream as one server sees it. Only the view of its leader knows how far the followers are. */
export interface StreamView {
  readonly leader: string | undefined;
  readonly followers: readonly { readonly name: string; readonly current: boolean }[];
  /** Of what this server itself holds. */
  readonly lastSequence: number;
}

interface JetStreamReport {
  readonly meta_cluster?: { readonly leader?: string; readonly cluster_size?: number };
  readonly account_details?: readonly {
    readonly stream_detail?: readonly {
      readonly name: string;
      readonly state?: { readonly last_seq?: number };
      readonly cluster?: {
        readonly leader?: string;
        readonly replicas?: readonly { readonly name: string; readonly current?: boolean }[];
      };
    }[];
  }[];
}

export interface ClusterView {
  /** The server that leads JetStream in its cluster. */
  readonly leader: string | undefined;
  /** How many servers belong to it, running or not. */
  readonly size: number;
}

export async function clusterView(monitorUrl: string): Promise<ClusterView> {
  const { leader, cluster_size = 0 } = (await report(monitorUrl, '')).meta_cluster ?? {};
  return { leader: leader || undefined, size: cluster_size };
}

/** This server's view of a stream, whatever account it is in; undefined if it holds no replica, or does not answer. */
export async function streamView(monitorUrl: string, stream: string): Promise<StreamView | undefined> {
  const { account_details = [] } = await report(monitorUrl, '?accounts=true&streams=true');
  const found = account_details
    .flatMap(({ stream_detail = [] }) => stream_detail)
    .find(({ name }) => name === stream);
  if (found?.cluster === undefined) return undefined;
  const { leader, replicas = [] } = found.cluster;
  return {
    leader: leader || undefined,
    followers: replicas.map(({ name, current = false }) => ({ name, current })),
    lastSequence: found.state?.last_seq ?? 0,
  };
}

async function report(monitorUrl: string, query: string): Promise<JetStreamReport> {
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const response = await fetch(`${monitorUrl}/jsz${query}`, { signal });
    return response.ok ? ((await response.json()) as JetStreamReport) : {};
  } catch {
    // Down, frozen or starting: it has no view.
    return {};
  }
}
