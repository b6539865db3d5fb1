import { expect } from 'vitest';
import type { EmbeddedPostgres, PostgresOptions } from '../../src/embedded/index.ts';
import { sampleMarked } from '../docs/pages.ts';
import { runCli } from './cli.ts';
import { query } from './query.ts';
import { startPostgres } from './services.ts';

export const ROLES_PAGE = 'docs/roles-and-privileges.md';

/** The roles of the page that are not the owner, by their names in the database `shop`. */
export const ROLES = ['shop_writer', 'shop_relay', 'shop_consumer', 'shop_operator'] as const;

export type Role = (typeof ROLES)[number];

/** A server of its own with the database, the roles and the grants of the page, migrated by its owner. */
export interface RoleStage extends AsyncDisposable {
  readonly postgres: EmbeddedPostgres;
  /** The URL of the database `shop` for this role; `postgres` is the superuser. */
  as(role: Role | 'shop_owner' | 'postgres'): string;
}

export async function openRoleStage(options: PostgresOptions = {}): Promise<RoleStage> {
  const postgres = await startPostgres(options);
  const as: RoleStage['as'] = (role) => {
    const url = new URL(postgres.url);
    url.pathname = '/shop';
    url.username = role;
    return url.href;
  };
  try {
    await query(postgres.url, 'CREATE DATABASE shop');
    await query(as('postgres'), sampleMarked(ROLES_PAGE, 'sql', 'admin').text);
    expect(await runCli(['migrate'], { DATABASE_URL: as('shop_owner') })).toMatchObject({ code: 0 });
    await query(as('shop_owner'), sampleMarked(ROLES_PAGE, 'sql', 'owner').text);
  } catch (cause) {
    await postgres[Symbol.asyncDispose]();
    throw cause;
  }
  return { postgres, as, [Symbol.asyncDispose]: () => postgres[Symbol.asyncDispose]() };
}
