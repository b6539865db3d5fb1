import { expect, inject, test } from 'vitest';
import { connectBroker, lookUpStream } from '../../src/jetstream/index.ts';
import { silentLogger } from '../../src/telemetry/logger.ts';
import { runCli, startCli } from '../support/cli.ts';
import { query } from '../support/query.ts';

const TIMEOUT_MS = 120_000;

test(
  'a short run proves that relays killed mid-publish lost, invented, doubled and reordered nothing',
  async () => {
    const { code, stdout, stderr } = await runCli(['demo', '--seconds', '4', '--seed', '7', '--json']);
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({
      ok: true,
      lost: 0,
      phantom: 0,
      twice: 0,
      orderKept: true,
      differences: 0,
    });
    expect(result.committed).toBeGreaterThan(1_000);
    expect(result.rolledBack).toBeGreaterThan(100);
    for (const count of ['inStream', 'effects', 'redelivered', 'refused'])
      expect(result[count], count).toBe(result.committed);
    expect(result.kills).toHaveLength(2);
    for (const kill of result.kills) {
      expect(kill.seen).toBeLessThan(kill.importEvents);
      expect(kill.unsettled).toBeGreaterThan(0);
    }
  },
  TIMEOUT_MS,
);

const given = () => ({ DATABASE_URL: inject('databaseUrl'), NATS_URL: inject('natsUrl') });

test(
  'on given servers it uses a database and a stream of its own, and leaves neither behind',
  async () => {
    await using demo = startCli(['demo', '--seconds', '1', '--json', '--keep'], given());
    const result = await demo.line('proof');
    expect(result).toMatchObject({ ok: true });
    const name = new URL(String(result.databaseUrl)).pathname.slice(1);
    expect(name).toMatch(/^postcommit_demo_/);
    expect(result.stream).toBe(name);
    expect(await databasesLike(name)).toEqual([name]);
    expect(await hasStream(name)).toBe(true);
    demo.process.kill('SIGINT');
    expect(await demo.exit).toBe(0);
    expect(await databasesLike(name)).toEqual([]);
    expect(await hasStream(name)).toBe(false);
  },
  TIMEOUT_MS,
);

test(
  'stopped before its proof it fails, and leaves nothing behind either',
  async () => {
    const before = await databasesLike('postcommit_demo_%');
    const ours = async () =>
      (await databasesLike('postcommit_demo_%')).filter((name) => !before.includes(name));
    await using demo = startCli(['demo', '--seconds', '60', '--json'], given());
    await expect.poll(ours, { timeout: 30_000 }).toHaveLength(1);
    const [name = ''] = await ours();
    await expect.poll(() => hasStream(name), { timeout: 30_000 }).toBe(true);
    demo.process.kill('SIGINT');
    expect(await demo.exit).toBe(1);
    expect(await databasesLike(name)).toEqual([]);
    expect(await hasStream(name)).toBe(false);
  },
  TIMEOUT_MS,
);

async function databasesLike(pattern: string): Promise<string[]> {
  const rows = await query(
    given().DATABASE_URL,
    `SELECT datname FROM pg_database WHERE datname LIKE '${pattern}'`,
  );
  return rows.map(([name]) => String(name));
}

async function hasStream(name: string): Promise<boolean> {
  await using link = await connectBroker({ servers: [given().NATS_URL] }, { logger: silentLogger() });
  return (await lookUpStream(link, name)).kind === 'found';
}
