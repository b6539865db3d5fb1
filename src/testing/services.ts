import { ensureNatsServer, startPostgres } from '../embedded/index.ts';
import type { LaneOptions } from '../relay/index.ts';
import type { Logger } from '../telemetry/logger.ts';
import { both, createOpened } from './opened.ts';
import { type FaultyScratch, openFaultyScratch, openScratch, type Scratch } from './scratch.ts';
import { createTemplateDatabase } from './scratch-database.ts';

export interface TestServicesOptions {
  /**
   * A PostgreSQL that runs already (your CI's, a container's), as a role with CREATEDB: scratch databases are made there.
   * Default: one is started.
   */
  readonly databaseUrl?: string | undefined;
  /**
   * A NATS with JetStream that runs already: scratches have their streams there, and only one stream at a time can have a
   * subject. Default: each scratch starts one of its own.
   */
  readonly natsUrl?: string | undefined;
  /** Makes your own tables; called once, with the URL of a migrated database that every scratch is a copy of. */
  readonly prepare?: ((databaseUrl: string) => unknown) | undefined;
  /**
   * As your relay has them. Default: one with the subjects `events.>` and the stream `postcommit`; on a NATS of yours the
   * stream has a name of its own.
   */
  readonly lanes?: readonly LaneOptions[] | undefined;
  /** Whether a scratch has a relay, in this process. Default true. */
  readonly relay?: boolean | undefined;
  /** Of the relays. Default: silent. */
  readonly logger?: Logger | undefined;
}

/** Servers for a suite of tests. Disposing of them closes the scratches that are still open. */
export interface TestServices extends AsyncDisposable {
  /** Some database of the server: for what no scratch is about, such as roles. */
  readonly databaseUrl: string;
  /** A world of its own, see `Scratch`. */
  scratch(): Promise<Scratch>;
  scratch(options: { readonly faults: true }): Promise<FaultyScratch>;
  scratch(options: { readonly faults?: boolean }): Promise<Scratch>;
}

/** Losing a server's data with the machine is no loss here, and several suites may share one. */
const THROWAWAY = { fsync: 'off', full_page_writes: 'off', max_connections: '300' };

/**
 * PostgreSQL and NATS for tests, without Docker (see `postcommit/embedded` for where they come from), or those that options
 * name. Resolves when scratches can be made.
 *
 * @throws PostcommitError when something cannot be started or used, and whatever `prepare` throws.
 */
export async function startTestServices(options: TestServicesOptions = {}): Promise<TestServices> {
  const { natsUrl, prepare, lanes, relay = true, logger } = options;
  const opened = createOpened();
  try {
    const [databaseUrl] = await both(
      options.databaseUrl === undefined
        ? opened.keep(startPostgres({ settings: THROWAWAY })).then(({ url }) => url)
        : Promise.resolve(options.databaseUrl),
      // So that what is missing is said here, and not by a test.
      natsUrl === undefined ? ensureNatsServer() : Promise.resolve(undefined),
    );
    const template = await opened.keep(createTemplateDatabase({ server: databaseUrl, prepare }));
    const parts = { template, natsUrl, lanes, relay, logger };
    const scratches = createOpened();
    await opened.keep(Promise.resolve(scratches));
    const scratch = ({ faults = false }: { readonly faults?: boolean } = {}) =>
      scratches.keep(faults ? openFaultyScratch(parts) : openScratch(parts));
    return {
      databaseUrl,
      scratch: scratch as TestServices['scratch'],
      [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
    };
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw error;
  }
}
