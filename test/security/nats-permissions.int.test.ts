import { connect, headers, type NatsConnection, PermissionViolationError } from '@nats-io/transport-node';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Consumer, consume } from '../../src/consumer/index.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { sampleMarked } from '../docs/pages.ts';
import { startCli } from '../support/cli.ts';
import { natsServerOf } from '../support/nats-server-versions.ts';
import { type NatsWithStore, startNatsWithStore } from '../support/nats-with-store.ts';
import { query } from '../support/query.ts';
import { ROLES_PAGE } from '../support/roles.ts';
import { createMigratedDatabase, type ScratchDatabase, startNats } from '../support/services.ts';

interface Permissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

const SAMPLE = sampleMarked(ROLES_PAGE, 'conf', 'run').text;
const RELAY = permissionsOf('relay');
const CONSUMER = permissionsOf('consumer');

function permissionsOf(user: string): Permissions {
  const block = new RegExp(
    `user: ${user},[\\s\\S]*?publish: \\[([\\s\\S]*?)\\]\\s*subscribe: \\[([\\s\\S]*?)\\]`,
  ).exec(SAMPLE);
  const [publish = [], subscribe = []] = [block?.[1], block?.[2]].map((list) =>
    [...(list ?? '').matchAll(/"([^"]+)"/g)].map(([, subject = '']) => subject),
  );
  return { publish, subscribe };
}

/** The same without one. */
function without(permissions: Permissions, subject: string): Permissions {
  const left = (list: readonly string[]) => list.filter((one) => one !== subject);
  // A list that is empty allows everything.
  const or = (list: readonly string[]) => (list.length > 0 ? list : ['nothing']);
  return { publish: or(left(permissions.publish)), subscribe: or(left(permissions.subscribe)) };
}

const entriesOf = ({ publish, subscribe }: Permissions) => [...publish, ...subscribe];

let database: ScratchDatabase;
beforeEach(async () => {
  database = await createMigratedDatabase();
});
afterEach(() => database.drop());

/** Of the version whose durables do not put themselves right after a loss. */
async function startServer(permissions: Permissions): Promise<NatsWithStore> {
  const { path: binary } = await natsServerOf('2.9.10');
  const config = `authorization { users: [
    { user: admin, password: p }, { user: app, password: p, permissions: ${JSON.stringify(permissions)} } ] }`;
  return startNatsWithStore((options) => startNats({ ...options, binary, config }));
}

function urlAs({ url }: { url: string }, user: 'admin' | 'app'): string {
  return url.replace('//', `//${user}:p@`);
}

/** What NATS has denied so far, and a wait that ends with the first of it: what was waited for may never come then. */
interface Denials {
  readonly reasons: readonly string[];
  until(condition: () => Promise<boolean> | boolean): Promise<void>;
}

function watchDenials(reasons: readonly string[]): Denials {
  return {
    reasons,
    async until(condition) {
      const over = async () => reasons.length > 0 || condition();
      await expect.poll(over, { timeout: 50_000 }).toBe(true);
    },
  };
}

type Step = () => Promise<unknown>;

/** Runs the steps until the first denial. */
async function firstDenial({ reasons }: Denials, steps: readonly Step[]): Promise<string> {
  for (const step of steps) {
    await step();
    if (reasons[0] !== undefined) return reasons[0];
  }
  return 'no denial';
}

describe('the relay', () => {
  test('gets on with what the page allows, through a crash of NATS in the midst of a publish', async () => {
    expect(await denialOf(RELAY)).toBe('no denial');
  });

  test.each(entriesOf(RELAY))('does not get on without %s', async (entry) => {
    expect(await denialOf(without(RELAY, entry))).toContain(entry.replace('>', ''));
  });

  async function denialOf(permissions: Permissions): Promise<string> {
    await using nats = await startServer(permissions);
    await using relay = startCli(['relay'], {
      DATABASE_URL: database.url,
      NATS_URL: urlAs(nats, 'app'),
      NATS_INBOX_PREFIX: '_INBOX_relay',
      POSTCOMMIT_HTTP: 'off',
    });
    const reasons: string[] = [];
    relay.line('nats-permission-denied').then(
      ({ reason }) => void reasons.push(String(reason)),
      () => undefined,
    );
    const denials = watchDenials(reasons);
    const write = (subject: string) => query(database.url, `SELECT postcommit.enqueue('${subject}', '{}')`);
    const plans = async () => (await query(database.url, 'SELECT FROM postcommit.batches')).length;
    return await firstDenial(denials, [
      () => write('events.a'),
      () => denials.until(async () => (await messagesIn(nats)) === 1),
      async () => nats.kill('SIGSTOP'),
      () => write('events.b'),
      () => denials.until(async () => (await plans()) === 2),
      async () => nats.kill('SIGKILL'),
      () => nats.start(),
      () => denials.until(async () => (await messagesIn(nats)) === 2),
    ]);
  }

  async function messagesIn(nats: NatsWithStore): Promise<number> {
    await using admin = await connectAs(nats, 'admin');
    const answer = await admin.connection.request('$JS.API.STREAM.INFO.postcommit');
    return answer.json<{ state?: { messages: number } }>().state?.messages ?? 0;
  }
});

describe('a consumer', () => {
  test('gets on with what the page allows, through a restart of its own and a stream that lost its tail', async () => {
    expect(await denialOf(CONSUMER)).toBe('no denial');
  });

  test.each(entriesOf(CONSUMER))('does not get on without %s', async (entry) => {
    expect(await denialOf(without(CONSUMER, entry))).toContain(entry.replace('>', ''));
  });

  async function denialOf(permissions: Permissions): Promise<string> {
    await using stack = new AsyncDisposableStack();
    const nats = stack.use(await startServer(permissions));
    const db = new pg.Pool({ connectionString: database.url });
    stack.defer(() => db.end());
    const reasons: string[] = [];
    const denials = watchDenials(reasons);
    const received: string[] = [];
    let consumer: Consumer | undefined;
    const stop = async () => consumer?.stop({ graceMs: 0 });
    stack.defer(stop);
    const start = async () => {
      const settings = { servers: [urlAs(nats, 'app')], inboxPrefix: '_INBOX_letters' };
      const logger = denialLogger(reasons);
      const options = { nats: settings, stream: 'postcommit', durable: 'letters', db, logger };
      consumer = await consume(options, ({ id }) => void received.push(id));
    };
    const until = (id: string) => () => denials.until(() => received.at(-1) === id);
    return await firstDenial(denials, [
      () => store(nats, '1'),
      start,
      until('1'),
      stop,
      start,
      () => store(nats, '2'),
      until('2'),
      stop,
      () => nats.keepStore(),
      start,
      () => store(nats, '3'),
      until('3'),
      stop,
      () => nats.restoreMessages(),
      start,
      () => store(nats, '4'),
      until('4'),
    ]);
  }

  function denialLogger(reasons: string[]) {
    const write = (line: string) => {
      const { event, reason } = JSON.parse(line);
      if (event === 'nats-permission-denied') reasons.push(reason);
    };
    return createLogger({ destination: { write } });
  }

  async function store(nats: NatsWithStore, id: string): Promise<void> {
    await using admin = await connectAs(nats, 'admin');
    const stream = JSON.stringify({ name: 'postcommit', subjects: ['events.>'] });
    await admin.connection.request('$JS.API.STREAM.CREATE.postcommit', stream);
    const named = headers();
    named.set('Postcommit-Event-Id', id);
    const publish = () => admin.connection.request('events.a', '{}', { headers: named, timeout: 2_000 });
    await expect.poll(async () => (await publish()).json()).toMatchObject({ stream: 'postcommit' });
  }
});

const ADMINISTRATION = [
  '$JS.API.STREAM.DELETE.postcommit',
  '$JS.API.STREAM.PURGE.postcommit',
  '$JS.API.STREAM.UPDATE.postcommit',
  '$JS.API.STREAM.MSG.DELETE.postcommit',
  '$JS.API.STREAM.SNAPSHOT.postcommit',
  '$JS.API.STREAM.INFO.other',
  '$JS.API.STREAM.CREATE.other',
  '$JS.API.STREAM.MSG.GET.other',
  '$JS.API.STREAM.NAMES',
  '$JS.API.INFO',
  '$JS.API.CONSUMER.CREATE.postcommit',
  '$JS.API.CONSUMER.DURABLE.CREATE.postcommit.other',
  '$JS.API.CONSUMER.DELETE.postcommit.other',
  '$JS.API.CONSUMER.MSG.NEXT.postcommit.other',
  '$JS.ACK.postcommit.other.1.1.1.1.1',
  '$SYS.REQ.SERVER.PING',
  'elsewhere.a',
  '_INBOX.a',
];

test.each([
  {
    user: 'the relay',
    permissions: RELAY,
    publish: [
      ...ADMINISTRATION,
      '$JS.API.CONSUMER.DELETE.postcommit.letters',
      '$JS.ACK.postcommit.letters.1.1.1.1.1',
      '_INBOX_letters.a',
    ],
    subscribe: ['>', '*', 'events.>', '_INBOX.>', '_INBOX_letters.>', '$JS.API.>', '$JS.ACK.>', '$SYS.>'],
  },
  {
    user: 'a consumer',
    permissions: CONSUMER,
    publish: [...ADMINISTRATION, '$JS.API.STREAM.CREATE.postcommit', 'events.a', '_INBOX_relay.a'],
    subscribe: ['>', '*', 'events.>', '_INBOX.>', '_INBOX_relay.>', '$JS.API.>', '$JS.ACK.>', '$SYS.>'],
  },
])('$user may publish and subscribe nowhere else', async ({ permissions, publish, subscribe }) => {
  await using nats = await startServer(permissions);
  await using app = await connectAs(nats, 'app');
  const denied: string[] = [];
  void (async () => {
    for await (const status of app.connection.status())
      if (status.type === 'error' && status.error instanceof PermissionViolationError)
        denied.push(`${status.error.operation} ${status.error.subject}`);
  })();
  for (const subject of publish) app.connection.publish(subject);
  for (const subject of subscribe) app.connection.subscribe(subject, { callback: () => undefined });
  await app.connection.flush();
  const expected = [
    ...publish.map((subject) => `publish ${subject}`),
    ...subscribe.map((subject) => `subscription ${subject}`),
  ];
  await expect.poll(() => [...denied].sort()).toEqual(expected.sort());
});

async function connectAs(
  nats: NatsWithStore,
  user: 'admin' | 'app',
): Promise<AsyncDisposable & { readonly connection: NatsConnection }> {
  const connection = await connect({ servers: nats.url, user, pass: 'p' });
  return { connection, [Symbol.asyncDispose]: () => connection.close() };
}
