import pg from 'pg';
import { createRandom, type Random } from '../../../src/demo/random.ts';
import { sleep } from '../../../src/lifecycle/abort.ts';
import { CHANGE } from './schema.ts';

// Business transactions until SIGTERM: argv is the settings as JSON, standard output the history, a line each.

export interface WriterSettings {
  readonly url: string;
  readonly seed: string;
  readonly writers: number;
  /** The longest pause between two transactions of one writer, in milliseconds. */
  readonly pauseMs: number;
  /** Rows of the largest transactions. */
  readonly bulkRows: number;
}

/** How a transaction ended. `unknown`: the connection was lost during COMMIT. */
export interface WriterLine {
  readonly atMs: number;
  readonly writer: number;
  readonly kind: Kind;
  readonly end: 'committed' | 'rolled back' | 'failed' | 'unknown';
  readonly tookMs: number;
  /** SQLSTATE, or the code of a lost connection. */
  readonly error?: string;
}

export type Kind = 'single' | 'burst' | 'several' | 'rollback' | 'savepoint' | 'async' | 'long' | 'bulk';

const settings = JSON.parse(process.argv[2] ?? '') as WriterSettings;
const stopping = new AbortController();
process.on('SIGTERM', () => stopping.abort());

await Promise.all(Array.from({ length: settings.writers }, (_, number) => write(number)));

async function write(writer: number): Promise<void> {
  const random = createRandom(`${settings.seed}/writer ${writer}`);
  while (!stopping.signal.aborted) {
    const client = new pg.Client({ connectionString: settings.url, connectionTimeoutMillis: 2_000 });
    client.on('error', () => undefined);
    try {
      await client.connect();
      while (!stopping.signal.aborted) {
        await transact(client, { writer, random });
        await sleep(random.next() * settings.pauseMs, stopping.signal);
      }
    } catch {
      await sleep(50, stopping.signal);
    } finally {
      await client.end().catch(() => undefined);
    }
  }
}

/** Throws when the connection is lost. */
async function transact(client: pg.Client, { writer, random }: { writer: number; random: Random }) {
  const startedAtMs = performance.now();
  const kind = kindOf(random);
  const say = (end: WriterLine['end'], error?: string) => {
    const tookMs = Math.round(performance.now() - startedAtMs);
    const line: WriterLine = { atMs: Date.now(), writer, kind, end, tookMs, ...(error && { error }) };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  };
  let committing = false;
  try {
    await client.query('begin');
    await work(client, kind, random);
    committing = kind !== 'rollback';
    await client.query(committing ? 'commit' : 'rollback');
    say(committing ? 'committed' : 'rolled back');
  } catch (error) {
    const { code = 'unnamed' } = error as { code?: string };
    say(committing ? 'unknown' : 'failed', code);
    throw error;
  }
}

function kindOf(random: Random): Kind {
  const draw = random.next();
  if (draw < 0.55) return 'single';
  if (draw < 0.7) return 'burst';
  if (draw < 0.75) return 'several';
  if (draw < 0.85) return 'rollback';
  if (draw < 0.89) return 'savepoint';
  if (draw < 0.975) return 'async';
  return draw < 0.9993 ? 'long' : 'bulk';
}

async function work(client: pg.Client, kind: Kind, random: Random): Promise<void> {
  if (kind === 'async') await client.query('set local synchronous_commit = off');
  if (kind === 'savepoint') {
    await client.query('savepoint before');
    await change(client, random, 2);
    await client.query('rollback to savepoint before');
  }
  if (kind === 'bulk') return importMany(client, random);
  if (kind === 'several') return changeSeveral(client, random);
  await change(client, random, kind === 'burst' ? random.between(2, 20) : 1);
  if (kind === 'long') {
    await sleep(random.between(300, 2_500), stopping.signal);
    if (random.chance(0.5)) await change(client, random, 1, 'late');
  }
}

async function change(client: pg.Client, random: Random, versions: number, of = 'patient'): Promise<void> {
  await changePatient(client, patientOf(random, of), { versions, random });
}

/** Always in the same order: two of these must not wait for each other. */
async function changeSeveral(client: pg.Client, random: Random): Promise<void> {
  const keys = new Set(Array.from({ length: random.between(2, 5) }, () => patientOf(random, 'patient')));
  for (const key of [...keys].sort()) await changePatient(client, key, { versions: 1, random });
}

/** Every fifth change is of one patient. A long transaction's second patient is nobody else's: no deadlocks. */
function patientOf(random: Random, of: string): string {
  const number = random.chance(0.2) ? 0 : random.between(1, 63);
  return of === 'late' ? `late-${random.between(0, 1_000_000)}` : `patient-${number}`;
}

async function changePatient(
  client: pg.Client,
  key: string,
  { versions, random }: { versions: number; random: Random },
): Promise<void> {
  const country = random.pick(['ng', 'gb']);
  const filler = random.chance(0.05) ? random.between(4_000, 16_000) : random.between(0, 400);
  await client.query({
    name: 'change',
    text: CHANGE,
    values: [key, versions, `${country}.patient.${key}`, filler],
  });
}

/** A card index is handed in: one transaction, many rows, and nobody but the stream takes them. */
async function importMany(client: pg.Client, random: Random): Promise<void> {
  const key = `import-${random.between(0, 1_000_000_000)}`;
  await client.query(CHANGE, [key, settings.bulkRows, `ng.import.${key}`, 50]);
}
