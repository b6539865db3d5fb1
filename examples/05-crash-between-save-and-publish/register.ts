import pg from 'pg';
import { enqueue } from 'postcommit';
import { openBus } from 'postcommit/nats';

// What a request handler of the registry would do, and where it dies.
const [how = '', id = ''] = process.argv.slice(2);
const { NATS_URL: nats = 'nats://127.0.0.1:4222', DATABASE_URL } = process.env;
const client = new pg.Client({ connectionString: DATABASE_URL });
await client.connect();
const save = () => client.query('insert into patients (id) values ($1)', [id]);
const crash = () => process.kill(process.pid, 'SIGKILL');

switch (how) {
  case 'save, crash, publish':
    await save();
    crash();
    break;
  case 'publish, crash, save': {
    const bus = await openBus({ nats });
    await bus.store({ subject: `ng.patient.${id}`, key: id, payload: { id } });
    crash();
    break;
  }
  default:
    await client.query('begin');
    await save();
    await enqueue(client, { subject: `gb.patient.${id}`, key: id, payload: { id } });
    if (how === 'outbox, crash before commit') crash();
    await client.query(how === 'outbox, rolled back' ? 'rollback' : 'commit');
    if (how === 'outbox, crash after commit') crash();
    await client.end();
}
