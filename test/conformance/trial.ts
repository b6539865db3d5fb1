import type { EmbeddedPostgres } from '../../src/embedded/index.ts';
import { natsUrl, startPostgres } from '../support/services.ts';
import { runSuite, SUITES, type Suite } from './run.ts';
import { openServers } from './servers.ts';
import type { Verdict } from './verdict.ts';

/** One that prepares transactions, which is not the default. */
export function startTrialPostgres(): Promise<EmbeddedPostgres> {
  return startPostgres({ settings: { max_prepared_transactions: '20', max_connections: '300' } });
}

export interface Trial {
  readonly suite: Suite['name'];
  readonly databaseUrl: string;
}

/** How a client comes out, by rule. */
export async function tryClient(
  { suite, databaseUrl }: Trial,
  command: readonly string[],
): Promise<ReadonlyMap<string, Verdict>> {
  await using servers = await openServers({ databaseUrl, natsUrl: natsUrl() });
  const verdicts = new Map<string, Verdict>();
  for await (const { rule, verdict } of runSuite(SUITES[suite], { command, servers }))
    verdicts.set(rule, verdict);
  return verdicts;
}

/** The rules that a faulty driver of this name does not keep, each with what was seen. */
export async function brokenBy(trial: Trial, name: string): Promise<ReadonlyMap<string, string>> {
  const file = new URL(`drivers/faulty/${name}.ts`, import.meta.url).pathname;
  const broken = new Map<string, string>();
  for (const [rule, verdict] of await tryClient(trial, [process.execPath, file]))
    if (verdict.kind === 'failed') broken.set(rule, `expected ${verdict.expected}; ${verdict.seen}`);
  return broken;
}
