import { sampleMarked } from '../docs/pages.ts';

/** What `docs/roles-and-privileges.md` grants to a relay, to this role. */
export function relayGrants(role: string): string {
  const { text } = sampleMarked('docs/roles-and-privileges.md', 'sql', 'owner');
  return text
    .split(';')
    .filter((statement) => statement.includes('shop_relay'))
    .map((statement) => statement.replace(/TO [\w, ]*shop_relay[\w, ]*$/, `TO ${role}`))
    .join(';');
}
