import { randomUUID } from 'node:crypto';
import pg from 'pg';
import type { Stage } from './stage.ts';
import { NotApplicable } from './verdict.ts';

/** A role with these grants and no others; `$role` in them is its name. */
export interface ScratchRole extends AsyncDisposable {
  readonly databaseUrl: string;
}

/** @throws NotApplicable where this server does not let one be made, or log in. */
export async function createScratchRole(stage: Stage, grants: string): Promise<ScratchRole> {
  const { db, servers } = stage;
  const role = `${servers.name}_role`;
  const password = randomUUID();
  try {
    await db.query(`CREATE ROLE ${role} LOGIN PASSWORD '${password}'`);
  } catch {
    throw new NotApplicable('the role of DATABASE_URL may not create another');
  }
  const drop = async () => void (await db.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`));
  try {
    await db.query('REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA postcommit FROM PUBLIC');
    await db.query(grants.replaceAll('$role', role));
    const url = new URL(servers.databaseUrl);
    [url.username, url.password] = [role, password];
    if (!(await canLogIn(url.href))) throw new NotApplicable('the server lets no new role log in');
    return { databaseUrl: url.href, [Symbol.asyncDispose]: drop };
  } catch (error) {
    await drop();
    throw error;
  }
}

async function canLogIn(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}
