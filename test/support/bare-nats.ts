import { createGuardian } from '../../src/embedded/guardian.ts';
import { freePort } from '../../src/embedded/index.ts';
import { healthFault } from '../../src/embedded/nats-server.ts';
import { launchServer, stopServer, untilReady } from '../../src/embedded/server-process.ts';
import { createFileFolder } from './file-folder.ts';

export interface BareNats extends AsyncDisposable {
  readonly port: number;
}

/** A nats-server that greets nobody without TLS, so that it is asked by its monitor alone whether it is ready. */
export async function startBareNats(binary: string, config: string): Promise<BareNats> {
  const folder = await createFileFolder();
  const [port, monitorPort] = [await freePort(), await freePort()];
  const monitorUrl = `http://127.0.0.1:${monitorPort}`;
  const file = await folder.put(
    'nats.conf',
    `listen: "127.0.0.1:${port}"\nhttp: "127.0.0.1:${monitorPort}"\njetstream { store_dir: "${folder.path}" }\n${config}\n`,
  );
  const guardian = createGuardian({ signal: 'TERM', temporaryFolder: folder.path });
  const launch = {
    name: 'nats-server',
    command: binary,
    args: ['--config', file],
    logFile: `${folder.path}/nats-server.log`,
    guardian,
  };
  const server = await launchServer(launch);
  await untilReady(server, launch, async () => {
    const fault = await healthFault(monitorUrl);
    if (fault !== undefined) throw new Error(fault);
  });
  return {
    port,
    async [Symbol.asyncDispose]() {
      await stopServer(server, 'SIGTERM');
      await guardian.dismiss();
      await folder[Symbol.asyncDispose]();
    },
  };
}
