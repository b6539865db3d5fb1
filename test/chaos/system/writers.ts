import { appendFileSync } from 'node:fs';
import type { Chronicle } from '../chronicle.ts';
import { type Actor, createActor } from './actor.ts';
import type { Line } from './child.ts';
import { openWays, type Servers, type Ways } from './ways.ts';
import type { WriterLine, WriterSettings } from './writers-main.ts';

/** The process that runs business transactions, and what it said of them. */
export interface Writers extends Actor, AsyncDisposable {
  readonly ways: Ways;
  readonly counts: Readonly<Record<WriterLine['end'], number>>;
  /** What PostgreSQL said to transactions that failed although nobody did anything to it: SQLSTATE and kind. */
  readonly refused: readonly string[];
}

const SCRIPT = new URL('./writers-main.ts', import.meta.url);
/** Connections lost, servers that stop, start, or have no room: what the chaos itself does to writers. */
const OUTAGE = /^(08|57P|53300|25006|unnamed|E[A-Z]+$)/;

export async function openWriters(
  servers: Servers,
  options: {
    readonly settings: Omit<WriterSettings, 'url'>;
    readonly chronicle: Chronicle;
    readonly historyPath: string | undefined;
  },
): Promise<Writers> {
  const { settings, chronicle, historyPath } = options;
  const ways = await openWays(servers);
  const url = ways.servers.databaseUrl;
  const counts = { committed: 0, 'rolled back': 0, failed: 0, unknown: 0 };
  const refused: string[] = [];
  let round = 0;
  const onLine = (text: Line) => {
    const line = text as unknown as WriterLine;
    if (!(line.end in counts)) return;
    counts[line.end]++;
    if (line.error !== undefined && !OUTAGE.test(line.error)) refused.push(`${line.error} in a ${line.kind}`);
    if (historyPath !== undefined) appendFileSync(historyPath, `${JSON.stringify(line)}\n`);
  };
  const actor = createActor({
    name: 'writers',
    script: SCRIPT,
    settings: (): WriterSettings => ({ ...settings, url, seed: `${settings.seed}/${++round}` }),
    chronicle,
    onLine,
  });
  return Object.assign(actor, {
    ways,
    counts,
    refused,
    async [Symbol.asyncDispose]() {
      await actor.end('SIGTERM');
      await ways[Symbol.asyncDispose]();
    },
  });
}
