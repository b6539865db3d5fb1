import type { Session } from '../../postgres/session.ts';
import { initialSetting } from '../../postgres/setting-origins.ts';
import { readStandbys, type StandbyState } from '../../postgres/standbys.ts';
import { onPostgres } from '../check.ts';
import { ok, problem, type Remark, unseen, warning } from '../finding.ts';
import { setForWriters } from './writer-settings.ts';

export const synchronousCommit = onPostgres(
  {
    name: 'synchronous-commit',
    about: 'whether a commit is on disk when it returns: synchronous_commit, fsync, full_page_writes',
  },
  async (session) => {
    const remarks = [...(await flushFaults(session)), ...(await commitFaults(session))];
    return remarks.length > 0 ? remarks : ok('commits are on disk when they return');
  },
);

async function flushFaults(session: Session): Promise<Remark[]> {
  const remarks: Remark[] = [];
  for (const [name, what] of [
    ['fsync', 'nothing is flushed to disk'],
    ['full_page_writes', 'a page that was half written is not mended'],
  ] as const) {
    if ((await initialSetting(session, name)) !== 'off') continue;
    remarks.push(
      problem({
        found: `${name} is off: ${what}`,
        cause:
          'A crash of the machine may lose or spoil what was committed, and with it what was published already.',
        fix: `ALTER SYSTEM SET ${name} = on; SELECT pg_reload_conf();`,
      }),
    );
  }
  return remarks;
}

async function commitFaults(session: Session): Promise<Remark[]> {
  const name = 'synchronous_commit';
  const off = await setForWriters(session, { name, value: 'off' });
  const fault = (whose: string, fix: string) =>
    warning({
      found: `${name} is off for ${whose}`,
      cause:
        'A crash takes back commits of the last moments that writers were told of, events and all. The relay publishes none of those: its own commit waits for the disk.',
      fix,
    });
  if (off.length > 0)
    return off.map(({ role, reset }) =>
      fault(role === null ? 'the whole database' : `the role ${role}`, reset),
    );
  if ((await initialSetting(session, name)) !== 'off') return [];
  return [fault('the whole server', `ALTER SYSTEM SET ${name} = on; SELECT pg_reload_conf();`)];
}

export const synchronousStandby = onPostgres(
  { name: 'synchronous-standby', about: 'whether the standby that commits wait for is there' },
  async (session) => judge(await readStandbys(session)),
);

function judge({ names, receivers, synchronous }: StandbyState): Remark {
  if (names === '') return ok('commits wait for no standby');
  if (receivers === 0 || synchronous === 0)
    return problem({
      found: `synchronous_standby_names is '${names}', and no such standby is connected`,
      cause:
        'Every commit waits for it, the plans of the relay too: nothing is published that is on no standby.',
      fix: "Bring the standby back, or stop waiting for it: ALTER SYSTEM SET synchronous_standby_names = ''; SELECT pg_reload_conf();",
    });
  if (synchronous === undefined)
    return unseen(
      `commits wait for '${names}'; ${receivers} receivers are connected, and whether one of them counts is hidden from this role`,
      'As a superuser: GRANT pg_read_all_stats TO the role of the relay',
    );
  return ok(`commits wait for '${names}', which is there; the relay polls instead of sleeping`);
}
