import { spawn } from 'node:child_process';
import { join } from 'node:path';

/** What one run of the chaos suite said. `broken`: not of a guarantee, but of the harness. */
export type Verdict =
  | { readonly kind: 'held' }
  | { readonly kind: 'violated'; readonly violations: readonly string[] }
  | { readonly kind: 'broken'; readonly reason: string };

export interface HuntOptions {
  readonly folder: string;
  readonly scene: string;
  readonly seed: number;
}

const RUN_WITHIN_MS = 180_000;
const SECONDS = '15';

export async function playOnce({ folder, scene, seed }: HuntOptions): Promise<Verdict> {
  const { code, stdout, stderr } = await runChaos(folder, [
    ...['--seed', String(seed), '--scenes', scene, '--seconds', SECONDS],
    ...['--out', join(folder, '.cache', 'chaos'), '--json'],
  ]);
  if (code === 0) return { kind: 'held' };
  const violations = violationsIn(stdout);
  const named = violations.filter((text) => !text.startsWith('harness'));
  if (code === 1 && named.length > 0) return { kind: 'violated', violations: named };
  return { kind: 'broken', reason: violations[0] ?? `exit code ${code}: ${stderr.slice(-300)}` };
}

function violationsIn(stdout: string): string[] {
  try {
    const plays = JSON.parse(stdout) as { violations: string[] }[];
    return plays.flatMap(({ violations }) => violations);
  } catch {
    return [];
  }
}

function runChaos(folder: string, args: readonly string[]) {
  const child = spawn(process.execPath, ['test/chaos/main.ts', ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => {
    stdout += text;
  });
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  const timer = setTimeout(() => child.kill('SIGTERM'), RUN_WITHIN_MS);
  return new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, stdout, stderr });
    });
  });
}
