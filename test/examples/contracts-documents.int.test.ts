import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Parser } from '@asyncapi/parser';
import sdk from '@eventcatalog/sdk';
import { expect, onTestFinished, test } from 'vitest';

const ROOT = join(import.meta.dirname, '..', '..');
/** Its types are those of a CommonJS module, which it is not. */
const catalogOf = sdk as unknown as typeof sdk.default;

test('out of the service of example 10 come an AsyncAPI document and an EventCatalog that their tools accept', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'postcommit-example-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const command = [
    'catalog',
    'export',
    'examples/10-contracts/contracts.ts',
    '--asyncapi',
    '-',
    '--eventcatalog',
    folder,
  ];
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['-C', 'postcommit-source', 'src/cli/main.ts', ...command],
    { cwd: ROOT },
  );
  const { document, diagnostics } = await new Parser().parse(stdout);
  expect(diagnostics.filter(({ severity }) => severity <= 1)).toEqual([]);
  expect(
    document
      ?.messages()
      .all()
      .map((message) => message.name()),
  ).toEqual(['patient.registered', 'letter.sent']);
  const { getEvents, getService } = catalogOf(folder);
  expect((await getEvents())?.map(({ id }) => id).sort()).toEqual(['letter.sent', 'patient.registered']);
  expect(await getService('patient-registry')).toMatchObject({
    version: '1.0.0',
    sends: [{}, {}],
    receives: [{}, {}],
  });
});
