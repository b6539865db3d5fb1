import { appendFileSync } from 'node:fs';
import type { Chronicle } from '../chronicle.ts';
import { type Child, startChild } from './child.ts';
import type { WriterLine, WriterSettings } from './writers-main.ts';

/** The process that runs business transactions, and what it said of them. */
export interface Writers {
  readonly child: Child | undefined;
  readonly counts: Readonly<Record<WriterLine['end'], number>>;
  /** What PostgreSQL said to transactions that failed although nobody did anything to it: SQLSTATE and kind. */
  readonly refused: readonly string[];
  start(): void;
  stop(): Promise<void>;
}

const SCRIPT = new URL('./writers-main.ts', import.meta.url);
/** Connections lost, servers that stop, start, or have no room: what the chaos itself does to writers. */
const OUTAGE = /^(08|57P|53300|25006|unnamed|E[A-Z]+$)/;

export function createWriters(
  settings: WriterSettings,
  { chronicle, historyPath }: { chronicle: Chronicle; historyPath: string | undefined },
): Writers {
  const counts = { committed: 0, 'rolled back': 0, failed: 0, unknown: 0 };
  const refused: string[] = [];
  let child: Child | undefined;
  let round = 0;
  const onLine = (text: Readonly<Record<string, unknown>>) => {
    const line = text as unknown as WriterLine;
    if (!(line.end in counts)) return;
    counts[line.end]++;
    if (line.error !== undefined && !OUTAGE.test(line.error)) refused.push(`${line.error} in a ${line.kind}`);
    if (historyPath !== undefined) appendFileSync(historyPath, `${JSON.stringify(line)}\n`);
  };
  return {
    get child() {
      return child;
    },
    counts,
    refused,
    start() {
      if (child?.running) return;
      const started = startChild(SCRIPT, { ...settings, seed: `${settings.seed}/${++round}` }, onLine);
      child = started;
      void started.exited.then(() => {
        if (started.stderr !== '')
          chronicle.note('writers', 'wrote to standard error', { text: started.stderr });
      });
    },
    async stop() {
      child?.kill('SIGTERM');
      await child?.exited;
    },
  };
}
