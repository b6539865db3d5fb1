import { cpSync } from 'node:fs';

// The console's page is served as it is: it needs no compiler, only to be there.
const from = new URL('../src/console/page/', import.meta.url);
const to = new URL('../dist/console/page/', import.meta.url);
cpSync(from, to, { recursive: true, filter: (path) => !path.endsWith('tsconfig.json') });
