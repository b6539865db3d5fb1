import { openBus } from 'postcommit/nats';

const bus = await openBus({ nats: process.env.NATS_URL ?? 'nats://127.0.0.1:4222' });
const register = (country: string, id: string) =>
  bus.publish({ subject: `${country}.patient.${id}`, key: id, payload: { id, country } });

// Nobody listens yet. Core NATS keeps nothing: this one is gone.
register('ng', '1');

// `*` stands for one token, `>` for all that follow.
const heard = new Map<string, string[]>();
const subscriptions = ['ng.patient.*', '*.patient.2', 'gb.>', '>'].map((pattern) => {
  const subjects: string[] = [];
  heard.set(pattern, subjects);
  return bus.subscribe(pattern, ({ subject }) => {
    if (subject.includes('.patient.')) subjects.push(subject); // `>` hears the client's own inboxes, too.
  });
});

register('ng', '2');
register('gb', '2');
bus.publish({ subject: 'gb.patient.2.address', key: '2', payload: { city: 'Leeds' } });

// An offline subscriber misses what comes meanwhile; nobody delivers it later.
const clinic: string[] = [];
const listen = () => bus.subscribe('ng.patient.*', ({ subject }) => void clinic.push(subject));
await listen().stop();
register('ng', '3');
const back = listen();
register('ng', '4');
await back.stop();

for (const subscription of subscriptions) await subscription.stop();
for (const [pattern, subjects] of heard) console.log(`${pattern.padEnd(13)} heard ${subjects.join(', ')}`);
console.log(`a clinic that was offline for ng.patient.3 heard ${clinic.join(', ')}`);
console.log('ng.patient.1 was published before anybody listened, and is gone');
await bus.close();
