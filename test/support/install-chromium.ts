import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { findExecutable, isExecutable } from '../../src/embedded/find-executable.ts';
import { run } from '../../src/embedded/process.ts';
import { aptOptions, unpackPackages } from './debian-package.ts';

/** A headless Chromium that runs here. */
export interface ChromiumBinary {
  readonly path: string;
  /** What it needs besides this process's own. */
  readonly env: Readonly<Record<string, string>>;
}

const CACHE = join(import.meta.dirname, '..', '..', '.cache', 'chromium');
const PACKAGE = 'chromium-headless-shell';
const NAMES = [PACKAGE, 'chromium', 'chromium-browser', 'google-chrome'];

/**
 * Chromium from CHROMIUM_BIN, PATH, our cache, or the distribution's package, unpacked into the cache with every package it
 * depends on that the machine lacks. Needs no root and changes nothing on the system.
 */
export async function ensureChromium(): Promise<ChromiumBinary> {
  const { CHROMIUM_BIN } = process.env;
  if (CHROMIUM_BIN) return { path: CHROMIUM_BIN, env: {} };
  for (const name of NAMES) {
    const path = await findExecutable(name);
    if (path !== undefined) return { path, env: {} };
  }
  const folder = join(CACHE, 'unpacked');
  const path = join(folder, 'usr', 'lib', 'chromium', PACKAGE);
  if (await isExecutable(path)) return { path, env: await librariesIn(folder) };
  await mkdir(CACHE, { recursive: true });
  const staging = await mkdtemp(join(CACHE, 'installing-'));
  try {
    await unpack(staging);
    // Somebody else may have been quicker; then theirs serves as well.
    await rename(join(staging, 'unpacked'), folder).catch(() => undefined);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return { path, env: await librariesIn(folder) };
}

/** Every folder with shared libraries: some packages have private ones, which they look for in places of the system. */
async function librariesIn(folder: string): Promise<ChromiumBinary['env']> {
  const files = await readdir(folder, { recursive: true });
  const libraries = files.filter((file) => /\.so(\.[\d.]+)?$/.test(file));
  const folders = [...new Set(libraries.map((file) => join(folder, dirname(file))))].sort();
  return { LD_LIBRARY_PATH: [...folders, process.env.LD_LIBRARY_PATH].filter(Boolean).join(':') };
}

async function unpack(folder: string): Promise<void> {
  const apt = await aptOptions(folder, PACKAGE);
  const plan = await run('apt-get', [...apt, '--simulate', '--no-install-recommends', 'install', PACKAGE]);
  const names = [...plan.matchAll(/^Inst (\S+)/gm)].map(([, name]) => name ?? '');
  await unpackPackages(folder, { apt, names, into: join(folder, 'unpacked') });
}
