const TIMEOUT_MS = 2_000;

/** A clustered stream as one server sees it. Only the view of its leader knows how far the followers are. */
export interface StreamView {
  readonly leader: string | undefined;
  readonly followers: readonly { readonly name: string; readonly current: boolean }[];
}

interface JetStreamReport {
  readonly meta_cluster?: { readonly leader?: string };
  readonly account_details?: readonly {
    readonly stream_detail?: readonly {
      readonly name: string;
      readonly cluster?: {
        readonly leader?: string;
        readonly replicas?: readonly { readonly name: string; readonly current?: boolean }[];
      };
    }[];
  }[];
}

/** The server that leads JetStream in its cluster, as this one knows it; undefined while there is none. */
export async function metaLeader(monitorUrl: string): Promise<string | undefined> {
  return (await report(monitorUrl, '')).meta_cluster?.leader || undefined;
}

/** This server's view of a stream, whatever account it is in; undefined if it holds no replica, or does not answer. */
export async function streamView(monitorUrl: string, stream: string): Promise<StreamView | undefined> {
  const { account_details = [] } = await report(monitorUrl, '?accounts=true&streams=true');
  const found = account_details
    .flatMap(({ stream_detail = [] }) => stream_detail)
    .find(({ name }) => name === stream)?.cluster;
  if (found === undefined) return undefined;
  const followers = (found.replicas ?? []).map(({ name, current = false }) => ({ name, current }));
  return { leader: found.leader || undefined, followers };
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
