import type { Pool, PoolClient } from 'pg';
import { sleep } from '../lifecycle/abort.ts';
import type { Registry } from './registry.ts';
import type { ClinicPlan, ImportPlan, Visit } from './workload.ts';

/** What the clinics did, as they themselves know it. */
export interface Diary {
  /** A transaction was committed: its number of events. */
  committed(events: number): void;
  /** These ids were written and then taken back: nobody may ever see them. */
  rolledBack(ids: readonly string[]): void;
}

export interface ClinicTools {
  readonly pool: Pool;
  readonly registry: Registry;
  readonly diary: Diary;
  readonly signal: AbortSignal;
}

/** Works through a clinic's visits, each when it is due or as soon after as the clinic can. */
export async function runClinic({ visits }: ClinicPlan, tools: ClinicTools): Promise<void> {
  const startedAtMs = performance.now();
  for (const visit of visits) {
    await sleepUntil(startedAtMs + visit.atMs, tools.signal);
    if (tools.signal.aborted) return;
    await inTransaction(tools, (client, written) => makeVisit(client, { visit, written, tools }));
  }
}

/** Hands in a card index, once or (if its first attempt is to fail) twice. */
export async function runImport(plan: ImportPlan, tools: ClinicTools): Promise<void> {
  const attempt = (ending: 'commit' | 'rollback') =>
    inTransaction(tools, async (client, written) => {
      written.push(...(await tools.registry.importMany(client, plan.firstPatient, plan.patients)));
      return ending;
    });
  if (plan.failsFirst) await attempt('rollback');
  await attempt('commit');
}

/** `work` says how its transaction is to end and leaves the ids that a commit makes real in `written`. */
async function inTransaction(
  { pool, diary }: ClinicTools,
  work: (client: PoolClient, written: string[]) => Promise<'commit' | 'rollback'>,
): Promise<void> {
  const client = await pool.connect();
  const written: string[] = [];
  try {
    await client.query('BEGIN');
    if ((await work(client, written)) === 'commit') {
      await client.query('COMMIT');
      diary.committed(written.length);
    } else {
      await client.query('ROLLBACK');
      diary.rolledBack(written);
    }
    client.release();
  } catch (error) {
    client.release(true);
    throw error;
  }
}

async function makeVisit(
  client: PoolClient,
  { visit, written, tools }: { visit: Visit; written: string[]; tools: ClinicTools },
): Promise<Visit['ending']> {
  for (const { patient, name, undone } of visit.changes) {
    if (undone) await client.query('SAVEPOINT change');
    const id = await tools.registry.change(client, patient, name);
    if (undone) {
      await client.query('ROLLBACK TO SAVEPOINT change');
      tools.diary.rolledBack([id]);
    } else written.push(id);
  }
  if (visit.holdMs > 0) await sleep(visit.holdMs, tools.signal);
  return visit.ending;
}

/** On the clock of `performance.now()`; what is overdue is done at once. */
export async function sleepUntil(atMs: number, signal: AbortSignal): Promise<void> {
  const leftMs = atMs - performance.now();
  if (leftMs > 0) await sleep(leftMs, signal);
}
