import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { run } from '../../src/embedded/process.ts';
import { messageOf } from '../../src/errors.ts';
import { deployTool } from '../support/deploy-tools.ts';

const ROOT = join(import.meta.dirname, '..', '..');

/** An object of Kubernetes. Tests look at it; that it is what it says is for `schemaProblems`. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  // biome-ignore lint/suspicious/noExplicitAny: of any kind, and checked against the schema of its kind.
  readonly [field: string]: any;
}

/** What `kubectl apply -k` would send. */
export async function buildManifests(folder: string): Promise<Manifest[]> {
  const [program, ...first] = await deployTool('kustomize');
  const text = await run(program, [...first, 'build', join(ROOT, folder)]);
  return parseAllDocuments(text).map((document) => unwrapped(document.toJS() as Manifest));
}

/** kustomize wraps base64, which an API server takes, and the schema's pattern does not. */
function unwrapped(manifest: Manifest): Manifest {
  if (manifest.kind !== 'Secret') return manifest;
  const data = Object.entries(manifest.data as Record<string, string>);
  return {
    ...manifest,
    data: Object.fromEntries(data.map(([key, value]) => [key, value.replaceAll('\n', '')])),
  };
}

export function only(manifests: readonly Manifest[], kind: string, name?: string): Manifest {
  const found = manifests.filter(
    (one) => one.kind === kind && (name === undefined || one.metadata.name === name),
  );
  const [manifest] = found;
  if (manifest === undefined || found.length > 1)
    throw new Error(`there are ${found.length} of ${kind} ${name ?? ''}, not one`);
  return manifest;
}

/** The package that holds the official schema of a kind, as validation and as a type. */
function modelsOf({ apiVersion }: Manifest): string {
  const ofOperator = apiVersion.startsWith('monitoring.coreos.com/');
  return `${ofOperator ? '@kubernetes-models/prometheus-operator' : 'kubernetes-models'}/${apiVersion}`;
}

/**
 * What the official schemas say against the manifests: values by validation, and misspelled fields, which an API server
 * would drop with a warning, by the compiler.
 */
export async function schemaProblems(manifests: readonly Manifest[]): Promise<string[]> {
  const values = await Promise.all(manifests.map(valueProblems));
  return [...values.flat(), ...(await fieldProblems(manifests))];
}

async function valueProblems(manifest: Manifest): Promise<string[]> {
  const models = await import(modelsOf(manifest));
  const Model = models[manifest.kind];
  if (Model === undefined) return [`${manifest.apiVersion} has no kind ${manifest.kind}`];
  try {
    new Model(manifest).validate();
    return [];
  } catch (error) {
    return [`${manifest.kind} ${manifest.metadata.name}: ${messageOf(error)}`];
  }
}

async function fieldProblems(manifests: readonly Manifest[]): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'postcommit-manifests-'));
  try {
    await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    const source = manifests.map(
      (manifest, i) => `import type { I${manifest.kind} as I${i} } from '${modelsOf(manifest)}';
export const ${manifest.kind}_${i}: I${i} = ${JSON.stringify(manifest, null, 1)};`,
    );
    await writeFile(join(folder, 'manifests.ts'), source.join('\n'));
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(TSCONFIG));
    const printed = await run(join(ROOT, 'node_modules/.bin/tsc'), ['-p', folder]).catch(
      ({ cause }: { cause: { stdout: string } }) => cause.stdout,
    );
    return printed.split('\n').filter((line) => line !== '');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const TSCONFIG = {
  compilerOptions: {
    target: 'es2023',
    module: 'nodenext',
    types: [],
    strict: true,
    noEmit: true,
    skipLibCheck: true,
  },
  include: ['manifests.ts'],
};
