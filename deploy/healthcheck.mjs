// Asks the relay in this container how it is: `node healthcheck.mjs /livez` or `/readyz`. For images without curl.
// What it answers is printed, so that `docker inspect` shows the reasons. Node and nothing else, for a quick start.
const [path = '/livez'] = process.argv.slice(2);
// Where it listens on every interface, any of them answers; the port is what counts.
const port = /:(\d{1,5})$/.exec(process.env.POSTCOMMIT_HTTP ?? '127.0.0.1:9465')?.[1];

try {
  if (port === undefined)
    throw new Error('POSTCOMMIT_HTTP is off, so nobody can be asked: disable this check');
  const response = await fetch(`http://localhost:${port}${path}`, { signal: AbortSignal.timeout(4_000) });
  process.stdout.write(await response.text());
  process.exitCode = response.ok ? 0 : 1;
} catch (error) {
  process.stdout.write(`${error.cause?.message ?? error.message}\n`);
  process.exitCode = 1;
}
