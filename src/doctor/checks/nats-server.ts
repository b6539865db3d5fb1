import {
  type AccountUsage,
  type BrokerLink,
  connectBroker,
  lookUpAccount,
  parseServers,
} from '../../jetstream/index.ts';
import { bytesText, counted, durationText, shareText } from '../../quantities.ts';
import { silentLogger } from '../../telemetry/logger.ts';
import { type Check, onNats } from '../check.ts';
import { ok, problem, type Remark, unseen, warning } from '../finding.ts';
import { type Circumstances, compareVersions, defectsOf } from '../server-defects.ts';
import { SESSION_NAME, type Surroundings } from '../surroundings.ts';

export const natsConnection: Check = {
  name: 'nats-connection',
  about: 'whether NATS answers, and each server of NATS_URL',
  async run(around) {
    const nats = await around.nats();
    if (nats.kind === 'reached') return reached(nats.connection, around);
    const { message, hint } = nats.error;
    return [
      problem({
        found: message,
        cause:
          'No server listens there, a network is in the way, or the login is wrong. Events wait in the outbox; nothing is lost.',
        fix: hint,
      }),
    ];
  },
};

async function reached({ connection }: BrokerLink, around: Surroundings): Promise<Remark[]> {
  const settings = around.options.natsSettings();
  const servers = parseServers(settings.servers);
  const silent =
    servers.length < 2 ? [] : await Promise.all(settings.servers.map((server) => whySilent(server, around)));
  const faults = silent.flatMap((reason, i) =>
    reason === undefined
      ? []
      : warning({
          found: `the server ${servers[i]?.address} of NATS_URL does not answer: ${reason}`,
          cause: 'The others serve meanwhile; one less may be lost.',
          fix: 'Start it, or take it out of NATS_URL.',
        }),
  );
  const tookMs = await connection.rtt();
  const about = ok(`NATS at ${connection.getServer()}, ${durationText(Math.max(1, tookMs))} away`);
  return faults.length > 0 ? faults : [about];
}

async function whySilent(server: string, { options }: Surroundings): Promise<string | undefined> {
  try {
    const link = await connectBroker(
      { ...options.natsSettings(), servers: [server], name: SESSION_NAME },
      { logger: silentLogger(), firstAttemptTimeoutMs: options.timeLimitMs / 3 },
    );
    await link.close();
    return undefined;
  } catch (error) {
    return error instanceof Error ? (error.message.split(': ').at(-1) ?? error.message) : 'no answer';
  }
}

const OLDEST = '2.9.0';

export const natsVersion = onNats(
  { name: 'nats-version', about: 'whether nats-server is new enough, and has no defects that matter here' },
  async (link, around) => {
    const version = link.connection.info?.version ?? 'of an unknown version';
    if (compareVersions(version, OLDEST) < 0)
      return problem({
        found: `nats-server ${version} is older than 2.9`,
        cause: 'No such version was ever tried with postcommit.',
        fix: 'Upgrade nats-server to 2.11.15, 2.12.6 or newer.',
      });
    const defects = defectsOf(version, await circumstances(link, around));
    if (defects.length === 0) return ok(`nats-server ${version}`);
    return defects.map((defect) => warning({ ...defect, found: `nats-server ${version}: ${defect.found}` }));
  },
);

async function circumstances(link: BrokerLink, around: Surroundings): Promise<Circumstances> {
  const found = { replicated: false, limited: false, shared: false };
  for (const { stream, ordering } of around.options.lanes) {
    const lookup = await around.stream(link, stream);
    if (lookup.kind !== 'found') continue;
    const { replicas, maxBytes } = lookup.state;
    found.replicated ||= replicas > 1;
    found.limited ||= maxBytes > 0;
    found.shared ||= replicas > 1 && ordering !== 'stream';
  }
  return found;
}

const NEARLY = 0.8;
const FULL = 0.95;

export const jetstream = onNats(
  { name: 'jetstream', about: 'whether the account has JetStream, and room left in it' },
  async (link, around) => {
    const account = await lookUpAccount(link);
    if (account.kind === 'found') return roomOf(account.usage);
    if (account.kind === 'unavailable' && (await someStreamAnswers(link, around)))
      return unseen(
        `JetStream answers; how much of it the account uses is hidden: ${account.reason}`,
        PERMISSION,
      );
    return problem({
      found: `JetStream does not serve this account: ${account.reason}`,
      cause: 'It is off on the server, or the account has none of it, or it is electing a leader.',
      fix: 'Start nats-server with -js (or a jetstream block in its configuration), and give the account jetstream: enabled.',
    });
  },
);

const PERMISSION = "Permit the user to publish to '$JS.API.INFO'.";

async function someStreamAnswers(link: BrokerLink, around: Surroundings): Promise<boolean> {
  for (const { stream } of around.options.lanes)
    if ((await around.stream(link, stream)).kind !== 'unavailable') return true;
  return false;
}

function roomOf({ storageBytes, maxStorageBytes, streams, maxStreams }: AccountUsage): Remark {
  const used = maxStorageBytes > 0 ? storageBytes / maxStorageBytes : 0;
  const uses = maxStorageBytes > 0 ? ` of ${bytesText(maxStorageBytes)}` : '';
  if (used < NEARLY)
    return ok(
      `${maxStreams > 0 ? `${streams} of ${counted(maxStreams, 'stream')}` : counted(streams, 'stream')}, ${bytesText(storageBytes)}${uses} on disk`,
    );
  const fault = {
    found: `the account uses ${bytesText(storageBytes)}${uses} of storage (${shareText(used)})`,
    cause: 'When it is used up, streams refuse every message, and the relay waits.',
    fix: 'Raise the limit of the account (max_file in its jetstream block), or delete messages: nats stream purge',
  };
  return used < FULL ? warning(fault) : problem(fault);
}
