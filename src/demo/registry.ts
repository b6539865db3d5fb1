import { enqueue, type OutboxEvent } from '../index.ts';
import { countryOf, nameOf } from './countries.ts';

/** A client of `pg` inside a transaction. */
export interface Tx {
  query(text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }>;
}

/**
 * The clinics' own tables. `change` is the ledger the proof counts: what each committed transaction says it did,
 * without any part of postcommit having a hand in it.
 */
export const REGISTRY_TABLES = `
  CREATE SCHEMA registry;
  CREATE TABLE registry.patient (
    id bigint PRIMARY KEY, country text NOT NULL, name text NOT NULL, version integer NOT NULL
  );
  CREATE TABLE registry.change (event_id uuid PRIMARY KEY, patient bigint NOT NULL, version integer NOT NULL)`;

/** A patient as it stands after a change; the payload of the event. */
export interface PatientState {
  readonly patient: number;
  readonly country: string;
  readonly name: string;
  readonly version: number;
}

/** How a clinic writes: business rows, ledger and events, in the transaction it is given. */
export interface Registry {
  /** Registers or renames one patient. Returns the id of the event. */
  change(tx: Tx, patient: number, name: string): Promise<string>;
  /** Registers many new patients and then corrects each of them. Returns the ids of the events. */
  importMany(tx: Tx, first: number, count: number): Promise<string[]>;
}

/** `subjectPrefix` keeps the events apart on a server that others use; empty on our own. */
export function createRegistry(subjectPrefix: string): Registry {
  const eventOf = (state: PatientState): OutboxEvent => ({
    subject: `${subjectPrefix}${state.country}.patient.${state.patient}`,
    key: String(state.patient),
    type: state.version === 1 ? 'patient.registered' : 'patient.updated',
    payload: state,
  });
  return {
    async change(tx, patient, name) {
      // The row is locked before the event is written: that is what gives a patient's events their order.
      const state = await upsertPatient(tx, patient, name);
      const id = await enqueue(tx, eventOf(state));
      await insertChanges(tx, [id], [state]);
      return id;
    },
    async importMany(tx, first, count) {
      const states = [1, 2].flatMap((version) => importedStates(first, count, version));
      await insertPatients(tx, states.slice(count));
      const ids = await enqueue(tx, states.map(eventOf));
      await insertChanges(tx, ids, states);
      return ids;
    },
  };
}

function importedStates(first: number, count: number, version: number): PatientState[] {
  const country = countryOf(first);
  return Array.from({ length: count }, (_, place) => ({
    patient: first + place,
    country,
    name: nameOf(country, place + version),
    version,
  }));
}

async function upsertPatient(tx: Tx, patient: number, name: string): Promise<PatientState> {
  const country = countryOf(patient);
  const { rows } = await tx.query(
    `INSERT INTO registry.patient AS p (id, country, name, version) VALUES ($1, $2, $3, 1)
     ON CONFLICT (id) DO UPDATE SET name = excluded.name, version = p.version + 1
     RETURNING version`,
    [patient, country, name],
  );
  return { patient, country, name, version: Number(rows[0]?.version) };
}

async function insertPatients(tx: Tx, states: readonly PatientState[]): Promise<void> {
  await tx.query(
    `INSERT INTO registry.patient (id, country, name, version)
     SELECT patient, country, name, version
     FROM json_to_recordset($1) AS state (patient bigint, country text, name text, version integer)`,
    [JSON.stringify(states)],
  );
}

async function insertChanges(tx: Tx, ids: readonly string[], states: readonly PatientState[]): Promise<void> {
  await tx.query(
    'INSERT INTO registry.change (event_id, patient, version) SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::integer[])',
    [ids, states.map(({ patient }) => patient), states.map(({ version }) => version)],
  );
}
