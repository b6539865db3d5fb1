import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';

/**
 * Stops a server and removes its temporary folder when this process ends in any way without having done so,
 * SIGKILL included. A library may not install signal handlers, and no handler sees a SIGKILL; a shell that
 * reads from a pipe does notice that the other end is gone.
 */
export interface Guardian {
  /** The process to stop from now on, or undefined while none runs. */
  watch(pid: number | undefined): void;
  /** Ends the guardian without touching anything. */
  dismiss(): Promise<void>;
}

// $1: the signal to stop the server with, $2: the folder to remove, if any. Each line read replaces the pid.
const SCRIPT = `
pid=
while read -r line; do
  [ "$line" = dismiss ] && exit 0
  pid=$line
done
if [ -n "$pid" ] && kill -"$1" "$pid" 2>/dev/null; then
  kill -CONT "$pid" 2>/dev/null
  left=100
  while [ $left -gt 0 ] && kill -0 "$pid" 2>/dev/null; do sleep 0.1; left=$((left - 1)); done
  kill -KILL "$pid" 2>/dev/null
fi
[ -z "$2" ] || rm -rf "$2"
`;

export function createGuardian(options: {
  readonly signal: 'INT' | 'QUIT' | 'TERM';
  readonly temporaryFolder?: string | undefined;
}): Guardian {
  const args = ['-c', SCRIPT, 'postcommit-guardian', options.signal, options.temporaryFolder ?? ''];
  // Detached: Ctrl-C in a terminal goes to the whole group, and the guardian has to outlive us.
  const shell = spawn('/bin/sh', args, { detached: true, stdio: ['pipe', 'ignore', 'ignore'], cwd: '/' });
  const orders = letParentExit(shell);
  return {
    watch(pid) {
      orders.write(`${pid ?? ''}\n`);
    },
    async dismiss() {
      if (shell.exitCode !== null || shell.signalCode !== null) return;
      const gone = once(shell, 'exit');
      shell.ref();
      orders.end('dismiss\n');
      await gone;
    },
  };
}

function letParentExit(shell: ChildProcess): Socket {
  const orders = shell.stdin as Socket;
  // Someone may have killed the guardian; then the orderly stop is still there.
  orders.on('error', () => {});
  shell.on('error', () => {});
  orders.unref();
  shell.unref();
  return orders;
}
