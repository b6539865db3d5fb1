import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    // Two cores: real servers and two test files at a time keep both busy without starving either.
    maxWorkers: 2,
    testTimeout: 180_000,
    hookTimeout: 120_000,
    // Hundreds of Node processes are started: with this each takes two thirds of the time.
    env: { NODE_COMPILE_CACHE: join(import.meta.dirname, 'node_modules', '.cache', 'node-compile') },
  },
});
