import { readFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';

/** The files that `docker build` would be given: a folder less what its .dockerignore leaves out. */
export interface BuildContext {
  /** As COPY does: a file or what is in a folder. @throws Error when it is not in the context. */
  copy(source: string, target: string): Promise<void>;
  includes(path: string): boolean;
}

export function openBuildContext(folder: string): BuildContext {
  const rules = readRules(join(folder, '.dockerignore'));
  // The last rule that speaks of a path decides, and a folder's rule is one of all below it.
  const includes = (path: string) =>
    rules.findLast(({ pattern }) => pattern === '*' || path === pattern || path.startsWith(`${pattern}/`))
      ?.included ?? true;
  return {
    includes,
    async copy(source, target) {
      const from = join(folder, source);
      if (!includes(relative(folder, from))) throw new Error(`.dockerignore leaves out ${source}`);
      const to = target.endsWith('/') ? join(target, basename(source)) : target;
      await cp(from, to, { recursive: true, filter: (path) => includes(relative(folder, path)) });
    },
  };
}

function readRules(path: string) {
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const included = line.startsWith('!');
      const pattern = included ? line.slice(1) : line;
      if (pattern !== '*' && /[*?[\\]/.test(pattern))
        throw new Error(`${line}: more than this test can read`);
      return { pattern, included };
    });
}
