import { writersAmong } from '../../outbox/writers.ts';
import type { Session } from '../../postgres/session.ts';
import { type SettingOrigin, settingOrigins } from '../../postgres/setting-origins.ts';

/** Where a setting has this value for writers of events: of the whole database, or of roles that may insert. */
export async function setForWriters(
  session: Session,
  { name, value }: { readonly name: string; readonly value: string },
): Promise<SettingOrigin[]> {
  const origins = (await settingOrigins(session, name)).filter((origin) => origin.value === value);
  const roles = origins.flatMap(({ role }) => (role === null ? [] : [role]));
  const writers = await writersAmong(session, roles);
  return origins.filter(({ role }) => role === null || writers.has(role));
}
