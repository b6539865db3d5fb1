/** What decides whether a defect of nats-server matters here. */
export interface Circumstances {
  /** Some stream has more than one copy. */
  readonly replicated: boolean;
  /** Some stream has a limit on its bytes. */
  readonly limited: boolean;
  /** Others write to some stream with more than one copy. */
  readonly shared: boolean;
}

export interface ServerDefect {
  readonly found: string;
  readonly cause: string;
  readonly fix: string;
}

interface KnownDefect extends ServerDefect {
  /** From this version on … */
  readonly since: string;
  /** … and before this one. */
  readonly until: string;
  readonly matters: (circumstances: Circumstances) => boolean;
}

const always = () => true;

/** Those that were met with a relay, or that NATS has published. What the relay is proof against is named as such. */
const KNOWN: readonly KnownDefect[] = [
  {
    since: '0.0.0',
    until: '2.11.15',
    matters: always,
    found: 'it has published security defects (CVE-2026-33218 and others)',
    cause:
      'Whoever reaches its leafnode port can crash it without logging in; releases this old get no mends any more.',
    fix: 'Upgrade nats-server to 2.11.15, 2.12.6 or newer.',
  },
  {
    since: '2.12.0',
    until: '2.12.6',
    matters: always,
    found: 'it has published security defects (CVE-2026-33218 and others)',
    cause: 'Whoever reaches its leafnode port can crash it without logging in.',
    fix: 'Upgrade nats-server to 2.12.6 or newer.',
  },
  {
    since: '2.9.0',
    until: '2.10.0',
    matters: ({ limited }) => limited,
    found: 'it may drop the oldest messages of a stream that reaches max_bytes, discard: new notwithstanding',
    cause: 'Consumers that have not seen them never will.',
    fix: 'Upgrade nats-server to 2.10 or newer, or take the limit away: nats stream edit <stream> --max-bytes=-1',
  },
  {
    since: '2.10.0',
    until: '2.11.0',
    matters: ({ replicated }) => replicated,
    found: 'with several replicas it acknowledges messages as duplicates that it never stored',
    cause: 'The relay believes none of these; publishers that use the NATS client itself lose messages.',
    fix: 'Upgrade nats-server to 2.11.15, 2.12.6 or newer.',
  },
  {
    since: '2.9.15',
    until: '2.9.21',
    matters: ({ replicated }) => replicated,
    found: 'with several replicas it may refuse a message for its expected sequence although that is right',
    cause:
      'The relay compares log and stream then, again and again, and gets on slowly (nats-server issue 4320).',
    fix: 'Upgrade nats-server to 2.11.15, 2.12.6 or newer.',
  },
  {
    since: '2.15.1',
    until: '2.15.2',
    matters: ({ shared }) => shared,
    found: 'one message with a wrong Nats-Expected-Last-Msg-Id stops a stream with several replicas for good',
    cause: 'The relay never sends that header; another publisher to its stream may.',
    fix: 'Let no publisher use Nats-Expected-Last-Msg-Id, or upgrade nats-server.',
  },
];

/** The defects of this version that matter under these circumstances. */
export function defectsOf(version: string, circumstances: Circumstances): ServerDefect[] {
  return KNOWN.filter(
    ({ since, until, matters }) =>
      compareVersions(version, since) >= 0 && compareVersions(version, until) < 0 && matters(circumstances),
  ).map(({ found, cause, fix }) => ({ found, cause, fix }));
}

/** Negative: the first is older. What follows a third number (`-RC.1`) is not looked at. */
export function compareVersions(one: string, other: string): number {
  const [a, b] = [numbersOf(one), numbersOf(other)];
  for (let i = 0; i < 3; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function numbersOf(version: string): number[] {
  return (/^v?(\d+)\.(\d+)\.(\d+)/.exec(version)?.slice(1) ?? []).map(Number);
}

/** Since which release of each major version VACUUM keeps the commit log that waiting notifications need (November 2025). */
const NOTIFICATIONS_KEPT = [150_016, 160_012, 170_008, 180_002];

/** What is wrong with this release of PostgreSQL, given as `server_version_num`. */
export function postgresDefectOf(version: number): ServerDefect | undefined {
  const mended = NOTIFICATIONS_KEPT.find((one) => majorOf(one) === majorOf(version));
  if (mended === undefined || version >= mended) return undefined;
  return {
    found: `PostgreSQL ${releaseText(version)} has a defect in LISTEN and NOTIFY`,
    cause:
      'VACUUM may remove what a waiting notification still needs: LISTEN then fails with "could not access status of transaction", and the relay polls until the queue is empty.',
    fix: `Upgrade to ${releaseText(mended)} or newer.`,
  };
}

/** `180004`: `18.4`. */
export function releaseText(version: number): string {
  return `${majorOf(version)}.${version % 10_000}`;
}

function majorOf(version: number): number {
  return Math.floor(version / 10_000);
}
