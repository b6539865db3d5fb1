#!/usr/bin/env node
import { runCli } from './program.ts';

// `postcommit … | head` closes the pipe early; that is no error of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

process.exitCode = await runCli(process.argv.slice(2), {
  env: process.env,
  stdout: process.stdout,
  stderr: process.stderr,
  // A getter: who asks nobody leaves it alone.
  get stdin() {
    return process.stdin;
  },
});

// Whatever a client library left open must not keep a finished command from ending.
setTimeout(() => process.exit(), 2_000).unref();
