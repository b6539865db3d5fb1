import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { runCli } from '../support/cli.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const PACKAGE = join(ROOT, 'src', 'index.ts');
const CATALOG = join(ROOT, 'src', 'catalog', 'index.ts');

interface Project {
  readonly path: (name: string) => string;
  write(name: string, text: string): Promise<void>;
  git(...args: string[]): void;
  /** Runs in the project's folder. */
  catalog(...args: string[]): ReturnType<typeof runCli>;
}

/** A repository of somebody else's, outside this one. */
async function createProject(): Promise<Project> {
  const folder = await mkdtemp(join('/tmp', 'postcommit-catalog-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const path = (name: string) => join(folder, name);
  const git = (...args: string[]) =>
    void execFileSync('git', ['-c', 'user.name=test', '-c', 'user.email=test@localhost', ...args], {
      cwd: folder,
      stdio: 'pipe',
    });
  git('init', '--quiet', '--initial-branch=main');
  await writeFile(path('.gitignore'), 'node_modules\n');
  return {
    path,
    git,
    write: async (name, text) => {
      await mkdir(join(path(name), '..'), { recursive: true });
      await writeFile(path(name), text);
    },
    catalog: (...args) => runCli(['catalog', ...args], {}, folder),
  };
}

function events(shape: string, more = ''): string {
  return `import { z } from 'zod';
import { defineEvent } from ${JSON.stringify(PACKAGE)};
export const registered = defineEvent({ type: 'patient.registered', subject: 'ng.patient.{id}', key: 'id',
  schema: z.object({ id: z.string(), ${shape} })${more} });
`;
}

function service(name: string, lists = 'produces: [registered]'): string {
  return `import { defineService } from ${JSON.stringify(CATALOG)};
import { registered } from './events.ts';
export const service = defineService({ name: '${name}', version: '1.0.0', ${lists},
  streams: [{ name: 'patients', subjects: ['ng.>'] }] });
`;
}

async function committed(): Promise<Project> {
  const project = await createProject();
  await project.write('src/events.ts', events('name: z.string()'));
  await project.write('src/service.ts', service('registry'));
  const { code, stderr } = await project.catalog('export', 'src/service.ts', '--asyncapi', 'asyncapi.json');
  expect([code, stderr]).toEqual([0, 'wrote asyncapi.json\n']);
  project.git('add', '.');
  project.git('commit', '--quiet', '--message', 'first');
  return project;
}

test('diff finds what a branch would break: against a ref, a document in git, and a file', async () => {
  const project = await committed();
  for (const against of ['main', 'HEAD', 'main:asyncapi.json', 'asyncapi.json'])
    expect(await project.catalog('diff', 'src/service.ts', '--against', against)).toMatchObject({
      code: 0,
      stdout: `Nothing that ${against} has is broken.\n`,
    });
  await project.write('src/events.ts', events('age: z.number()'));
  for (const against of ['main', 'main:asyncapi.json', 'asyncapi.json']) {
    const { code, stdout } = await project.catalog('diff', 'src/service.ts', '--against', against, '--json');
    expect(code).toBe(1);
    expect(
      JSON.parse(stdout).changes.map(
        (change: { kind: string; path: string }) => `${change.kind} ${change.path}`,
      ),
    ).toEqual(['property-removed name', 'property-required age']);
  }
  const { stdout } = await project.catalog('diff', 'src/service.ts', '--against', 'main');
  expect(stdout).toContain('patient.registered version 1, name: property-removed');
  expect(stdout).toContain('2 breaking changes since main');
  expect(await readdir(project.path('.'))).toEqual([
    '.git',
    '.gitignore',
    'asyncapi.json',
    'node_modules',
    'src',
  ]);
});

test('a service that was not there yet breaks nothing', async () => {
  const project = await committed();
  await project.write('src/other.ts', service('other'));
  expect(await project.catalog('diff', 'src/other.ts', '--against', 'main')).toMatchObject({ code: 0 });
});

test.each([
  ['no-such-ref', 'git rev-parse failed', 'a git ref'],
  ['main:no-such-file', 'git show failed', 'a git ref'],
  ['src/events.ts', 'src/events.ts exports no service', 'defineService()'],
  ['main:src/events.ts', 'main:src/events.ts is not JSON', 'catalog export --asyncapi'],
])('against %s it says what is wrong, and what to do', async (against, message, hint) => {
  const project = await committed();
  const { code, stdout, stderr } = await project.catalog('diff', 'src/service.ts', '--against', against);
  expect([code, stdout]).toEqual([3, '']);
  expect(stderr).toContain(message);
  expect(stderr).toContain(hint);
});

test.each([
  ['gone.ts', 'gone.ts cannot be imported'],
  ['gone.json', 'gone.json cannot be read'],
])('a source that is not there (%s)', async (source, message) => {
  const project = await createProject();
  const { code, stderr } = await project.catalog('check', source);
  expect(code).toBe(3);
  expect(stderr).toContain(message);
});

test('check reports an event of two publishers, one of none, and a consumer that cannot read', async () => {
  const project = await committed();
  await project.write('a/events.ts', events('name: z.string()'));
  await project.write('a/service.ts', service('clinic'));
  const consumer = `consumes: [{ stream: 'patients', durable: 'letters', events: [registered] }]`;
  await project.write('b/events.ts', events('name: z.number()'));
  await project.write('b/service.ts', service('letters', consumer));
  await project.write('c/events.ts', events('name: z.string()', ', version: 2'));
  await project.write('c/service.ts', service('cards', consumer));

  expect(await project.catalog('check', 'src/service.ts')).toMatchObject({
    code: 0,
    stdout: '1 services fit together.\n',
  });
  const sources = ['asyncapi.json', 'a/service.ts', 'b/service.ts', 'c/service.ts'];
  const { code, stdout } = await project.catalog('check', ...sources, '--json');
  expect(code).toBe(1);
  expect(JSON.parse(stdout).conflicts).toEqual([
    expect.objectContaining({
      kind: 'two-producers',
      event: 'patient.registered',
      services: ['registry', 'clinic'],
    }),
    expect.objectContaining({
      kind: 'unreadable',
      services: ['registry', 'letters'],
      message: expect.stringContaining(
        'letters of letters would refuse what registry writes: name may be string',
      ),
    }),
    expect.objectContaining({
      kind: 'no-producer',
      event: 'patient.registered version 2',
      services: ['cards'],
    }),
  ]);
  const exported = await project.catalog('export', ...sources, '--asyncapi', 'documents');
  expect(exported).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('warning: patient.registered: two-producers'),
  });
  expect(await readdir(project.path('documents'))).toEqual([
    'cards.json',
    'clinic.json',
    'letters.json',
    'registry.json',
  ]);
});

test('export writes both, and to standard output', async () => {
  const project = await committed();
  const { code, stdout, stderr } = await project.catalog(
    'export',
    'src/service.ts',
    '--asyncapi',
    '-',
    '--eventcatalog',
    'catalog',
  );
  expect([code, stderr]).toEqual([0, 'wrote 4 files to catalog\n']);
  expect(JSON.parse(stdout)).toEqual(JSON.parse(await readFile(project.path('asyncapi.json'), 'utf8')));
  expect(existsSync(project.path('catalog/events/patient.registered/index.mdx'))).toBe(true);
  await project.write('src/other.ts', service('other', 'consumes: []'));
  const several = await project.catalog('export', 'src/service.ts', 'src/other.ts', '--asyncapi', 'one.json');
  expect(several).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('2 services do not go into one document'),
  });
  expect(await project.catalog('export', 'src/service.ts')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('say what to write: --asyncapi'),
  });
});

test.each([['export'], ['diff'], ['check']])('catalog %s --help', async (command) => {
  const { code, stdout, stderr } = await runCli(['catalog', command, '--help']);
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toContain('Exit codes:');
});
