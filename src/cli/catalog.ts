import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { toAsyncApi } from '../catalog/asyncapi.ts';
import { loadBefore } from '../catalog/at-git-ref.ts';
import { type Conflict, conflictsAmong } from '../catalog/check.ts';
import { type BreakingChange, breakingChanges } from '../catalog/compare.ts';
import { toEventCatalog } from '../catalog/eventcatalog.ts';
import { loadServices } from '../catalog/load.ts';
import type { CatalogService } from '../catalog/model.ts';
import { writeCatalogFiles } from '../catalog/write-files.ts';
import { PostcommitError } from '../errors.ts';
import { type CliContext, printLine } from './context.ts';
import { EXIT, EXIT_CODES_HELP } from './exit-codes.ts';

const SOURCES =
  'modules that export what defineService() returns, or documents of `catalog export --asyncapi`';

export function registerCatalog(
  program: Command,
  context: CliContext,
  exitWith: (code: number) => void,
): void {
  const catalog = program
    .command('catalog')
    .summary('document events out of the code, and find breaking changes')
    .description('Documents events out of their definitions, and compares definitions. Talks to no server.')
    .addHelpText('after', EXAMPLES + EXIT_CODES_HELP);
  registerExport(catalog, context);
  registerDiff(catalog, context, exitWith);
  registerCheck(catalog, context, exitWith);
}

const EXAMPLES = `
Examples:
  postcommit catalog export src/service.ts --asyncapi asyncapi.json
  postcommit catalog export src/service.ts --eventcatalog ../eventcatalog
  postcommit catalog diff src/service.ts --against origin/main    # in CI: exits 1 if consumers or stored events break
  postcommit catalog diff src/service.ts --against v1.4.0:asyncapi.json
  postcommit catalog check */asyncapi.json                        # of all teams: two publishers of one event, …
`;

interface ExportFlags {
  readonly asyncapi?: string;
  readonly eventcatalog?: string;
}

function registerExport(catalog: Command, context: CliContext): void {
  const command = catalog
    .command('export')
    .summary('write AsyncAPI documents and the files of an EventCatalog')
    .description(
      'Writes AsyncAPI 3.0 documents and the files of an EventCatalog. Modules are run: keep definitions apart from code that connects to servers.',
    )
    .argument('<source...>', SOURCES)
    .option('--asyncapi <path>', 'a file for one service, a folder for several, or - for standard output')
    .option(
      '--eventcatalog <folder>',
      'the folder of an EventCatalog: events, services and channels go into it',
    )
    .addHelpText('after', EXIT_CODES_HELP)
    .action(async (sources: string[], flags: ExportFlags) => {
      if (flags.asyncapi === undefined && flags.eventcatalog === undefined)
        command.error('error: say what to write: --asyncapi <path>, --eventcatalog <folder>, or both');
      const services = await loadAll(sources);
      for (const conflict of conflictsAmong(services))
        printLine(context.stderr, `warning: ${conflictText(conflict)}`);
      if (flags.asyncapi !== undefined) await writeAsyncApi(services, flags.asyncapi, context);
      if (flags.eventcatalog !== undefined) await writeEventCatalog(services, flags.eventcatalog, context);
    });
}

async function writeAsyncApi(
  services: readonly CatalogService[],
  path: string,
  context: CliContext,
): Promise<void> {
  const documents = services.map((service) => ({
    name: service.name,
    text: `${JSON.stringify(toAsyncApi(service), null, 2)}\n`,
  }));
  const [first] = documents;
  const single = documents.length === 1 && first !== undefined;
  if (path === '-' && single) {
    context.stdout.write(first.text);
    return;
  }
  if (single && path.endsWith('.json') && !(await isFolder(path))) return write(path, first.text, context);
  if (path === '-' || path.endsWith('.json'))
    throw new PostcommitError(
      'config-invalid',
      `${documents.length} services do not go into one document: AsyncAPI describes one application`,
      'Give a folder to --asyncapi: each service becomes a file of its name.',
    );
  await mkdir(path, { recursive: true });
  for (const { name, text } of documents) await write(join(path, `${name}.json`), text, context);
}

async function write(path: string, text: string, context: CliContext): Promise<void> {
  await writeFile(path, text);
  printLine(context.stderr, `wrote ${path}`);
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}

async function writeEventCatalog(
  services: readonly CatalogService[],
  folder: string,
  context: CliContext,
): Promise<void> {
  const files = toEventCatalog(services);
  const { removed } = await writeCatalogFiles(resolve(folder), files);
  printLine(
    context.stderr,
    `wrote ${files.size} files to ${folder}${removed === 0 ? '' : `, removed ${removed} of before`}`,
  );
}

function registerDiff(catalog: Command, context: CliContext, exitWith: (code: number) => void): void {
  catalog
    .command('diff')
    .summary('find changes that break consumers or what is stored')
    .description(
      'Compares the events that services publish with those of before. A change breaks if a consumer with the old schema refuses what is written now, or one with the new schema what is in the stream. Exits with 1 if there is one: publish it as another version of the event, beside the old one, until nobody consumes that.',
    )
    .argument('<source...>', SOURCES)
    .requiredOption(
      '--against <ref-or-file>',
      'a git ref (main), a document in git (main:asyncapi.json), or a file',
    )
    .option('--json', 'print the changes as JSON')
    .addHelpText('after', EXIT_CODES_HELP)
    .action(async (sources: string[], { against, json }: { against: string; json?: true }) => {
      const before = await loadBefore(against, { sources, cwd: process.cwd() });
      const changes = breakingChanges(before, await loadAll(sources));
      if (json) printLine(context.stdout, JSON.stringify({ against, changes }));
      else printChanges(changes, against, context);
      exitWith(changes.length === 0 ? EXIT.ok : EXIT.failure);
    });
}

function printChanges(changes: readonly BreakingChange[], against: string, { stdout }: CliContext): void {
  for (const { kind, event, path, message } of changes)
    printLine(stdout, `${event}${path === '' ? '' : `, ${path}`}: ${kind}\n    ${message}`);
  printLine(
    stdout,
    changes.length === 0
      ? `Nothing that ${against} has is broken.`
      : `${changes.length} breaking ${changes.length === 1 ? 'change' : 'changes'} since ${against}. Publish a changed event as another version, beside the old one.`,
  );
}

function registerCheck(catalog: Command, context: CliContext, exitWith: (code: number) => void): void {
  catalog
    .command('check')
    .summary('find what does not fit among services')
    .description(
      'Reports events that two services publish, events that somebody consumes and nobody publishes, and consumers whose schema refuses what the publisher writes. Exits with 1 if there is one.',
    )
    .argument('<source...>', SOURCES)
    .option('--json', 'print the conflicts as JSON')
    .addHelpText('after', EXIT_CODES_HELP)
    .action(async (sources: string[], { json }: { json?: true }) => {
      const services = await loadAll(sources);
      const conflicts = conflictsAmong(services);
      if (json) printLine(context.stdout, JSON.stringify({ conflicts }));
      else {
        for (const conflict of conflicts) printLine(context.stdout, conflictText(conflict));
        if (conflicts.length === 0) printLine(context.stdout, `${services.length} services fit together.`);
      }
      exitWith(conflicts.length === 0 ? EXIT.ok : EXIT.failure);
    });
}

function conflictText({ event, kind, message }: Conflict): string {
  return `${event}: ${kind}\n    ${message}`;
}

async function loadAll(sources: readonly string[]): Promise<CatalogService[]> {
  return (await Promise.all(sources.map((source) => loadServices(source, process.cwd())))).flat();
}
