import { readFileSync } from 'node:fs';

/** Of postcommit; `unknown` where a bundler has taken the code away from its package.json. */
export function packageVersion(): string {
  try {
    const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
    const { name, version } = JSON.parse(text) as { readonly name?: string; readonly version?: string };
    return name === 'postcommit' ? (version ?? 'unknown') : 'unknown';
  } catch {
    return 'unknown';
  }
}
