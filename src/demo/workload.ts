import { COUNTRIES, type Country, nameOf, patientId } from './countries.ts';
import type { Random } from './random.ts';

/** One change to a patient inside a transaction: one event. */
export interface Change {
  readonly patient: number;
  readonly name: string;
  /** Inside a savepoint that is rolled back, while the rest of the transaction goes on. */
  readonly undone: boolean;
}

/** One business transaction of a clinic. */
export interface Visit {
  /** When it is due, from the start of the load. */
  readonly atMs: number;
  /** In the order of their ids, so that two visits never wait for each other's patients in a circle. */
  readonly changes: readonly Change[];
  /** How long the transaction stays open after its last event. */
  readonly holdMs: number;
  readonly ending: 'commit' | 'rollback';
}

export interface ClinicPlan {
  readonly name: string;
  readonly country: Country;
  readonly visits: readonly Visit[];
}

/** A clinic hands in its card index: many patients, registered and then updated, in one transaction. */
export interface ImportPlan {
  readonly atMs: number;
  readonly country: Country;
  readonly firstPatient: number;
  readonly patients: number;
  /** The first attempt fails at its end: as many events that must never be seen. */
  readonly failsFirst: boolean;
  /** The relay is killed when this many of its events have been seen on their way. */
  readonly killAfter: number;
  readonly kill: 'leader' | 'everyone';
}

export interface Workload {
  readonly clinics: readonly ClinicPlan[];
  readonly imports: readonly ImportPlan[];
}

export const EVENTS_PER_IMPORTED_PATIENT = 2;

const CLINICS_PER_COUNTRY = 3;
const PATIENTS_PER_COUNTRY = 150;
const MEAN_PAUSE_MS = 75;
const ROLLED_BACK = 0.15;
const WITH_SAVEPOINT = 0.15;
const SLOW = 0.01;
const KILL_EVERY_MS = 2_750;

/** Everything the clinics will do and when the relay will be killed, by the seed alone. */
export function planWorkload(random: Random, seconds: number): Workload {
  const durationMs = seconds * 1_000;
  const clinics = COUNTRIES.flatMap((country) =>
    Array.from({ length: CLINICS_PER_COUNTRY }, (_, number) => {
      const name = `${country}-clinic-${number + 1}`;
      return { name, country, visits: planVisits(random.fork(name), { country, durationMs }) };
    }),
  );
  return { clinics, imports: planImports(random.fork('imports'), durationMs) };
}

function planVisits(
  random: Random,
  { country, durationMs }: { country: Country; durationMs: number },
): Visit[] {
  const visits: Visit[] = [];
  let atMs = 0;
  for (;;) {
    atMs += -Math.log(1 - random.next()) * MEAN_PAUSE_MS;
    if (atMs >= durationMs) return visits;
    visits.push(planVisit(random, country, atMs));
  }
}

function planVisit(random: Random, country: Country, atMs: number): Visit {
  const patients = new Set<number>();
  const count = random.chance(0.6) ? 1 : random.between(2, 4);
  while (patients.size < count) patients.add(patientId(country, random.between(1, PATIENTS_PER_COUNTRY)));
  const inOrder = [...patients].sort((a, b) => a - b);
  const undone = random.chance(WITH_SAVEPOINT) ? random.pick([0, inOrder.length - 1]) : -1;
  return {
    atMs,
    changes: inOrder.map((patient, place) => ({
      patient,
      name: nameOf(country, random.between(0, 29)),
      undone: place === undone,
    })),
    holdMs: random.chance(SLOW) ? random.between(700, 1_300) : 0,
    ending: random.chance(ROLLED_BACK) ? 'rollback' : 'commit',
  };
}

/** One kill per import, spread over the load with some time left to recover from the last. */
function planImports(random: Random, durationMs: number): ImportPlan[] {
  const count = Math.max(2, Math.round(durationMs / KILL_EVERY_MS));
  const slotMs = (durationMs * 0.9) / count;
  return Array.from({ length: count }, (_, number) => {
    const patients = random.between(350, 450);
    const events = patients * EVENTS_PER_IMPORTED_PATIENT;
    const country = COUNTRIES[number % COUNTRIES.length] ?? 'ng';
    return {
      atMs: slotMs * (number + 0.25 + random.next() * 0.35),
      country,
      firstPatient: patientId(country, 10_000 * (number + 1)),
      patients,
      failsFirst: number % 2 === 1,
      killAfter: random.between(Math.round(events * 0.05), Math.round(events * 0.4)),
      kill: number === Math.floor(count / 2) ? ('everyone' as const) : ('leader' as const),
    };
  });
}
