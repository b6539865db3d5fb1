import { readFile } from 'node:fs/promises';
import { isAbsolute, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { messageOf, PostcommitError } from '../errors.ts';
import { isService, type ServiceDefinition } from './define-service.ts';
import { describeService } from './describe.ts';
import type { CatalogService } from './model.ts';
import { readAsyncApi } from './read-asyncapi.ts';

/**
 * The services that a file tells of: a module that exports what `defineService()` returns, or a document of
 * `postcommit catalog export --asyncapi`. A module is run.
 *
 * @throws PostcommitError `config-invalid`
 */
export async function loadServices(path: string, cwd: string): Promise<CatalogService[]> {
  const absolute = isAbsolute(path) ? path : resolve(cwd, path);
  if (path.endsWith('.json')) return [readDocument(await readText(absolute, path), path)];
  const services = servicesIn(await importModule(absolute, path));
  if (services.length === 0)
    throw new PostcommitError(
      'config-invalid',
      `${path} exports no service`,
      'Export what defineService() of postcommit/catalog returns.',
    );
  return Promise.all(services.map(describeService));
}

/** @throws PostcommitError `config-invalid`; `from` names the document in it. */
export function readDocument(text: string, from: string): CatalogService {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new PostcommitError(
      'config-invalid',
      `${from} is not JSON: ${messageOf(error)}`,
      'Compare what `postcommit catalog export --asyncapi` has written.',
    );
  }
  return readAsyncApi(value, from);
}

async function readText(absolute: string, path: string): Promise<string> {
  try {
    return await readFile(absolute, 'utf8');
  } catch (error) {
    throw new PostcommitError(
      'config-invalid',
      `${path} cannot be read: ${messageOf(error)}`,
      'Check the path.',
      {
        cause: error,
      },
    );
  }
}

async function importModule(absolute: string, path: string): Promise<object> {
  try {
    return await import(pathToFileURL(absolute).href);
  } catch (error) {
    const old = (error as { code?: unknown }).code === 'ERR_UNKNOWN_FILE_EXTENSION';
    throw new PostcommitError(
      'config-invalid',
      `${path} cannot be imported: ${messageOf(error)}`,
      old
        ? `This Node (${process.version}) does not run TypeScript: use 22.18 or newer, or the compiled module.`
        : 'It must be a module that can be run by itself: keep definitions apart from code that connects to servers.',
      { cause: error },
    );
  }
}

/** Each once, whether it is exported by itself or in a list. */
function servicesIn(module: object): ServiceDefinition[] {
  return [...new Set(Object.values(module).flat())].filter(isService);
}
