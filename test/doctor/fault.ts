import { expect, vi } from 'vitest';
import { CHECKS, type DoctorOptions, examine, type Finding } from '../../src/doctor/index.ts';
import type { Stage } from '../guarantees/stage.ts';
import { query } from '../support/query.ts';

/** A fault that is planted into a system without any, and what has to be said of it. */
export interface Fault {
  /** How it is planted, in words. */
  readonly fault: string;
  /** The check that must report it. */
  readonly check: string;
  readonly severity: 'warning' | 'problem';
  readonly found: RegExp;
  /** Words that its fix must have. */
  readonly fix: readonly string[];
  /** Checks that report what follows from it. Of every other, a finding is a false alarm. */
  readonly also?: readonly string[];
  /** The stream is made like this. */
  readonly config?: Parameters<Stage['jsm']['streams']['add']>[0] extends infer Config
    ? Partial<Config>
    : never;
  plant(stage: Stage): Promise<Planted | undefined> | Planted | undefined;
}

export interface Planted {
  /** With other settings than before. */
  readonly options?: Partial<DoctorOptions>;
  undo?(): PromiseLike<unknown>;
}

/** Settings of a relay on this stage. */
export function optionsFor(stage: Stage, changed: Partial<DoctorOptions> = {}): DoctorOptions {
  return {
    databaseUrl: () => stage.databaseUrl,
    natsSettings: () => ({ servers: stage.natsUrl.split(',') }),
    lanes: [{ stream: stage.stream, subjects: [`${stage.stream}.>`], ordering: 'stream' }],
    provision: true,
    source: undefined,
    cloudEvents: 'off',
    retentionMs: 86_400_000,
    maxLagMs: 60_000,
    maxTransactionMs: 600_000,
    timeLimitMs: 10_000,
    ...changed,
  };
}

/** Everything that the checks say, or that these do. */
export async function findingsOf(options: DoctorOptions, names?: readonly string[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  const checks = names === undefined ? CHECKS : CHECKS.filter(({ name }) => names.includes(name));
  for await (const found of examine(checks, options)) findings.push(...found);
  return findings;
}

export function faultsAmong(findings: readonly Finding[]): Finding[] {
  return findings.filter(({ severity }) => severity === 'warning' || severity === 'problem');
}

/** As if a relay led that is well. */
export async function seatLeader({ databaseUrl }: Stage): Promise<void> {
  await query(
    databaseUrl,
    `update postcommit.lease set epoch = epoch + 1, holder = 'somebody:1', expires_at = clock_timestamp() + interval '5 minutes'`,
  );
}

/** A relay publishes so many events, and is gone again. */
export async function relayed(stage: Stage, events: number): Promise<void> {
  const relay = await stage.startRelay();
  await stage.write(events);
  await stage.untilDrained();
  await relay.relay.stop();
  await seatLeader(stage);
}

/** Nothing is wrong before; afterwards the check says what it has to, with its cause and its fix, and no other cries. */
export async function proveFound(stage: Stage, fault: Fault): Promise<void> {
  await seatLeader(stage);
  expect(faultsAmong(await findingsOf(optionsFor(stage))), 'before it is planted').toEqual([]);
  const planted = await fault.plant(stage);
  try {
    const options = optionsFor(stage, planted?.options);
    await vi.waitFor(async () => expectFound(faultsAmong(await findingsOf(options)), fault), {
      timeout: 20_000,
      interval: 100,
    });
  } finally {
    await planted?.undo?.();
  }
}

function expectFound(faults: readonly Finding[], { check, severity, found, fix, also = [] }: Fault): void {
  const own = faults.find((finding) => finding.check === check && found.test(finding.found));
  expect(own ?? faults, `a finding of ${check} that says ${found}`).toMatchObject({ check, severity });
  expect(own?.cause, 'its cause').toMatch(/^[A-Z].{20}/);
  for (const words of fix) expect(own?.fix).toContain(words);
  const others = faults.filter((finding) => finding.check !== check && !also.includes(finding.check));
  expect(others, 'false alarms').toEqual([]);
}
