import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { createStream, deleteStream } from '../servers/site.ts';

/**
 * `stock-client`: `js.publish` as it comes, 1,000 in flight. `-tuned`: without the stack traces it captures for each
 * request (`noAsyncTraces`). `-one-by-one`: each awaited before the next. `publisher`: postcommit's, without a database.
 */
export type MemoryVariant = 'stock-client' | 'stock-client-tuned' | 'stock-client-one-by-one' | 'publisher';

export interface MemoryTask {
  readonly variant: MemoryVariant;
  readonly natsUrl: string;
  /** Created for it. */
  readonly stream: string;
  readonly count: number;
  readonly bytes: number;
}

/** The stream lasts until it is disposed of. */
export interface Published extends AsyncDisposable {
  /** Of the whole process, without its start. */
  readonly cpuMicros: number;
  readonly residentMiB: number;
}

/** A process of its own publishes the same message again and again, numbered in the header `Bench-Number`. */
export async function publishFromMemory(task: MemoryTask): Promise<Published> {
  const { variant, natsUrl, stream, count, bytes } = task;
  await createStream(natsUrl, stream);
  const script = fileURLToPath(new URL('../baselines/publish-from-memory.ts', import.meta.url));
  const child = spawn(process.execPath, [script, variant, natsUrl, stream, String(count), String(bytes)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`publishing from memory (${variant}) failed`);
  return {
    ...(JSON.parse(output) as { cpuMicros: number; residentMiB: number }),
    [Symbol.asyncDispose]: () => deleteStream(natsUrl, stream),
  };
}
