import { withPg, withPostgresJs, withReservedPostgresJs } from './drivers.ts';
import { drizzleOnPg, drizzleOnPostgresJs, drizzleV1OnPg, drizzleV1OnPostgresJs } from './drizzle.ts';
import type { Library } from './library.ts';
import { withPrisma, withQueryRunner, withTypeOrm } from './orms.ts';
import { withControlledKysely, withKnex, withKysely } from './query-builders.ts';

/** Every library whose transactions `enqueue()` takes. */
export const LIBRARIES: Readonly<Record<string, (url: string) => Library | Promise<Library>>> = {
  pg: withPg,
  'postgres.js': withPostgresJs,
  'postgres.js, reserved': withReservedPostgresJs,
  'Drizzle 0.45, node-postgres': drizzleOnPg,
  'Drizzle 0.45, postgres.js': drizzleOnPostgresJs,
  'Drizzle 1.0, node-postgres': drizzleV1OnPg,
  'Drizzle 1.0, postgres.js': drizzleV1OnPostgresJs,
  Kysely: withKysely,
  'Kysely, controlled': withControlledKysely,
  Knex: withKnex,
  Prisma: withPrisma,
  TypeORM: withTypeOrm,
  'TypeORM, query runner': withQueryRunner,
};
