/** Where the clinics are. */
export const COUNTRIES = ['ng', 'gb', 'us'] as const;

export type Country = (typeof COUNTRIES)[number];

/** Ids tell the country, so that a patient's id alone is a key. */
const FIRST_ID: Readonly<Record<Country, number>> = { ng: 1_000_000, gb: 2_000_000, us: 3_000_000 };

export function patientId(country: Country, number: number): number {
  return FIRST_ID[country] + number;
}

export function countryOf(patient: number): Country {
  return COUNTRIES[Math.floor(patient / 1_000_000) - 1] ?? 'ng';
}

const GIVEN_NAMES = {
  ng: ['Adaeze', 'Chidi', 'Folake', 'Ibrahim', 'Ngozi', 'Yusuf'],
  gb: ['Alice', 'Callum', 'Imogen', 'Oliver', 'Priya', 'Rhys'],
  us: ['Diego', 'Emily', 'Jamal', 'Mei', 'Naomi', 'Walter'],
} as const;
const FAMILY_NAMES = {
  ng: ['Adeyemi', 'Balogun', 'Eze', 'Mohammed', 'Okafor'],
  gb: ['Davies', 'Hughes', 'Khan', 'Smith', 'Wright'],
  us: ['Chen', 'Garcia', 'Johnson', 'Miller', 'Nguyen'],
} as const;

/** One of thirty, so that a changed name is usually another one. */
export function nameOf(country: Country, number: number): string {
  const given = GIVEN_NAMES[country][number % GIVEN_NAMES[country].length];
  const family = FAMILY_NAMES[country][number % FAMILY_NAMES[country].length];
  return `${given} ${family}`;
}
