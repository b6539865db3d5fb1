/** The schema `postcommit` in a database: applying its migrations and telling which ones are missing. */
export { type MigrateOptions, type MigrateResult, type MigrateTarget, migrate } from './migrate.ts';
export { historyProblem, missingMigrations } from './pending.ts';
