// A program of its own, whose end the clean-up tests watch.
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { startDevServices } from '../../src/embedded/index.ts';

const services = await startDevServices();
const { postgres, nats } = services;
const folders = (await readdir(tmpdir())).map((name) => join(tmpdir(), name));
const report = { pids: [postgres.pid, nats.pid], folders, databaseUrl: postgres.url };
process.stdout.write(`${JSON.stringify(report)}\n`);

createInterface({ input: process.stdin }).on('line', async (order) => {
  if (order === 'dispose') await services.stop();
  process.exit();
});
