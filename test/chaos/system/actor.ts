import type { Chronicle } from '../chronicle.ts';
import { type Child, type Line, startChild } from './child.ts';

/** A part of the system: a process that is started again and again, and whose life the chronicle tells. */
export interface Actor {
  readonly name: string;
  /** The process as last started. */
  readonly child: Child | undefined;
  /** Does nothing if it runs. */
  start(): void;
  signal(signal: NodeJS.Signals): void;
  /** Sends the signal and waits for the end. */
  end(signal: NodeJS.Signals): Promise<void>;
}

export interface ActorOptions {
  readonly name: string;
  readonly script: URL;
  /** Asked at each start. */
  readonly settings: () => object;
  readonly chronicle: Chronicle;
  readonly onLine?: (line: Line) => void;
  readonly onEnd?: () => void;
}

/** pino's number for a warning. */
const WARNING = 40;

export function createActor({ name, script, settings, chronicle, onLine, onEnd }: ActorOptions): Actor {
  let child: Child | undefined;
  const hear = (line: Line) => {
    if (Number(line.level) >= WARNING)
      chronicle.note(name, 'says', { event: line.event, reason: line.reason ?? line.msg });
    onLine?.(line);
  };
  return {
    name,
    get child() {
      return child;
    },
    start() {
      if (child?.running) return;
      const started = startChild(script, settings(), hear);
      child = started;
      const ended = chronicle.begin(name, 'runs', { pid: started.pid });
      void started.exited.then(() => {
        ended();
        onEnd?.();
        if (started.stderr !== '') chronicle.note(name, 'wrote to standard error', { text: started.stderr });
      });
    },
    signal: (signal) => child?.kill(signal),
    async end(signal) {
      child?.kill(signal);
      await child?.exited;
    },
  };
}
