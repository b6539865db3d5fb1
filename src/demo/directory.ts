import type { Pool } from 'pg';
import { type Consumer, consume } from '../consumer/index.ts';
import type { NatsSettings } from '../jetstream/index.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { COUNTRIES } from './countries.ts';
import type { PatientState } from './registry.ts';

/**
 * The read model of another service. `effect` has no unique key on purpose: an effect that happened twice must show
 * up as two rows, and `changes` must be counted too far.
 */
export const DIRECTORY_TABLES = `
  CREATE SCHEMA directory;
  CREATE TABLE directory.patient (
    id bigint PRIMARY KEY, country text NOT NULL, name text NOT NULL, version integer NOT NULL, changes integer NOT NULL
  );
  CREATE TABLE directory.effect (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id text NOT NULL, patient bigint NOT NULL, version integer NOT NULL
  )`;

const APPLY = `
  WITH noted AS (INSERT INTO directory.effect (event_id, patient, version) VALUES ($1, $2, $5))
  INSERT INTO directory.patient AS p (id, country, name, version, changes) VALUES ($2, $3, $4, $5, 1)
  ON CONFLICT (id) DO UPDATE SET name = excluded.name, version = excluded.version, changes = p.changes + 1`;

export interface DirectoryOptions {
  readonly pool: Pool;
  readonly nats: NatsSettings;
  readonly stream: string;
  readonly subjectPrefix: string;
  /** Handlers at a time for each country. One keeps the stream's order. */
  readonly concurrency: number;
}

export interface Directory {
  /** Messages by what became of them, so far. */
  counts(): Promise<DirectoryCounts>;
  stop(): Promise<void>;
}

export interface DirectoryCounts {
  readonly effects: number;
  /** Deliveries that the inbox had seen before. */
  readonly duplicates: number;
}

export function durableOf(country: string): string {
  return `directory-${country}`;
}

/** One durable consumer per country: in order within each of them, three at a time. */
export async function startDirectory(options: DirectoryOptions): Promise<Directory> {
  const { pool, nats, stream, subjectPrefix, concurrency } = options;
  const metrics = createMetrics();
  const consumers: Consumer[] = [];
  const stop = async () => {
    await Promise.all(consumers.map((consumer) => consumer.stop({ graceMs: 2_000 })));
  };
  try {
    for (const country of COUNTRIES) {
      const subjects = [`${subjectPrefix}${country}.patient.*`];
      const durable = durableOf(country);
      consumers.push(
        await consume({ nats, stream, durable, subjects, db: pool, concurrency, metrics }, (event, { tx }) =>
          apply(tx, event.id, event.json() as PatientState),
        ),
      );
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    stop,
    async counts() {
      const { values } = await metrics.consumedEvents.get();
      const sum = (result: string) =>
        values.reduce((total, { labels, value }) => total + (labels.result === result ? value : 0), 0);
      return { effects: sum('effect'), duplicates: sum('duplicate') };
    },
  };
}

async function apply(
  tx: { query(text: string, values: unknown[]): Promise<unknown> },
  id: string,
  { patient, country, name, version }: PatientState,
): Promise<void> {
  await tx.query(APPLY, [id, patient, country, name, version]);
}
