import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sdk from '@eventcatalog/sdk';
import { expect, onTestFinished, test } from 'vitest';
import { describeService, toEventCatalog } from '../../src/catalog/index.ts';
import { writeCatalogFiles } from '../../src/catalog/write-files.ts';
import { clinic, registry, serviceOf } from './patients.ts';

/** Its types are those of a CommonJS module, which it is not. */
const catalogOf = sdk as unknown as typeof sdk.default;

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'postcommit-eventcatalog-'));
  onTestFinished(() => rm(made, { recursive: true, force: true }));
  return made;
}

async function exported(): Promise<string> {
  const made = await folder();
  const services = await Promise.all([registry, clinic].map(describeService));
  await writeCatalogFiles(made, toEventCatalog(services));
  return made;
}

test('the SDK of EventCatalog reads events, services and channels', async () => {
  const { getEvent, getService, getChannel, getEvents } = catalogOf(await exported());
  expect(await getEvent('patient.registered', '1.0.0')).toMatchObject({
    id: 'patient.registered',
    name: 'Patient registered',
    version: '1.0.0',
    owners: ['registry-team'],
    schemaPath: 'schema.json',
    channels: [{ id: 'country.patient.id', version: '1.0.0' }],
    markdown: expect.stringContaining('<SchemaViewer file="schema.json" />'),
  });
  expect(await getEvent('patient.registered')).toMatchObject({ version: '2.0.0' });
  expect((await getEvents())?.map(({ id, version }) => `${id} ${version}`).sort()).toEqual([
    'patient.moved 1.0.0',
    'patient.registered 1.0.0',
    'patient.registered 2.0.0',
  ]);
  expect(await getService('patient-registry')).toMatchObject({
    version: '1.4.0',
    summary: 'Knows all patients.',
    owners: ['registry-team'],
    sends: [
      { id: 'patient.registered', version: '1.0.0', to: [{ id: 'country.patient.id' }] },
      { id: 'patient.registered', version: '2.0.0', to: [{ id: 'country.patient.id' }] },
    ],
    receives: [
      { id: 'patient.moved', version: '1.0.0', from: [{ id: 'ng.move' }] },
      { id: 'patient.registered', version: '1.0.0', from: [{ id: 'country.patient.id' }] },
    ],
  });
  expect(await getService('clinic')).toMatchObject({ receives: [{ id: 'patient.registered' }] });
  expect(await getChannel('country.patient.id')).toMatchObject({
    address: '{country}.patient.{id}',
    protocols: ['nats'],
    parameters: { id: { description: 'id of the payload' }, country: { enum: ['ng', 'gb'] } },
  });
});

test('producers and consumers are found by EventCatalog', async () => {
  const { getProducersAndConsumersForMessage } = catalogOf(await exported());
  const { producers, consumers } = await getProducersAndConsumersForMessage('patient.registered', '1.0.0');
  expect(producers.map(({ id }) => id)).toEqual(['patient-registry']);
  expect(consumers.map(({ id }) => id).sort()).toEqual(['clinic', 'patient-registry']);
});

test('schema and example lie beside the event', async () => {
  const made = await exported();
  const read = async (path: string) => JSON.parse(await readFile(join(made, path), 'utf8'));
  const older = 'events/patient.registered/versioned/1.0.0';
  expect(await read(`${older}/schema.json`)).toMatchObject({
    $schema: 'http://json-schema.org/draft-07/schema#',
    required: ['id', 'country', 'name'],
  });
  expect(await read(`${older}/example.json`)).toEqual({ id: '7', country: 'ng', name: 'Ada' });
});

test('what people write is text in MDX, and code in it stays code', async () => {
  const made = await exported();
  const page = await readFile(join(made, 'events/patient.registered/versioned/1.0.0/index.mdx'), 'utf8');
  expect(page).toContain('Its `{id}` is of a \\<clinic> \\{of\\} ours.');
});

test('what is no more is taken away, and what others put there is not', async () => {
  const made = await exported();
  await writeFile(join(made, 'events/patient.moved/notes.md'), 'ours');
  await writeFile(join(made, '.postcommit-catalog.json.tmp'), 'ours');
  const { removed } = await writeCatalogFiles(made, toEventCatalog([await describeService(registry)]));
  expect(removed).toBe(1);
  expect(await readdir(join(made, 'services'), { recursive: true })).not.toContain('clinic/index.mdx');
  expect(await readdir(join(made, 'events/patient.moved'))).toContain('notes.md');
});

test('a list that leads out of the folder takes nothing away there', async () => {
  const made = await folder();
  const outside = join(await folder(), 'precious');
  await writeFile(outside, 'precious');
  await writeFile(
    join(made, '.postcommit-catalog.json'),
    JSON.stringify([outside, `../${outside}`, '..', 7]),
  );
  await writeCatalogFiles(made, toEventCatalog([await serviceOf()]));
  expect(await readFile(outside, 'utf8')).toBe('precious');
});
