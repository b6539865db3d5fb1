/** What the daemon looks at; a relay's status has all of it. */
export interface RelayHealth {
  readonly role: 'starting' | 'standby' | 'leader' | 'stopping' | 'stopped';
  readonly epoch: number | null;
  /** Why it neither leads nor stands by. */
  readonly reason?: string | null;
  readonly databaseConnected: boolean;
  readonly brokerConnected: boolean;
  /** Why NATS cannot be reached, as far as that is known. */
  readonly brokerReason?: string | null;
  readonly lanes: readonly {
    readonly stream: string;
    readonly state: 'starting' | 'publishing' | 'paused';
    readonly reason: string | null;
  }[];
  /** `performance.now()` of the last turn of the main loop. */
  readonly lastProgressAtMs: number;
}

export interface Verdict {
  readonly ok: boolean;
  readonly reasons: readonly string[];
}

/** Well above the longest wait of the main loop: a restart for less would only make an outage worse. */
const STALLED_AFTER_MS = 30_000;

/**
 * Whether a restart would help: only if the main loop stands still. Trouble of PostgreSQL or NATS is none of it,
 * and a process that can answer at all has a turning event loop.
 */
export function liveness({ role, lastProgressAtMs }: RelayHealth, nowMs: number): Verdict {
  const stalledMs = nowMs - lastProgressAtMs;
  const exempt = role === 'stopping' || role === 'stopped';
  if (exempt || stalledMs <= STALLED_AFTER_MS) return { ok: true, reasons: [] };
  return { ok: false, reasons: [`the main loop has not turned for ${Math.round(stalledMs / 1_000)} s`] };
}

/** Whether it does its work now: publishing as the leader, or standing by able to take over. */
export function readiness(health: RelayHealth): Verdict {
  const reasons: string[] = [];
  if (health.role !== 'leader' && health.role !== 'standby') reasons.push(`the relay is ${health.role}`);
  if (health.reason) reasons.push(health.reason);
  if (!health.databaseConnected) reasons.push('not connected to PostgreSQL');
  if (!health.brokerConnected) reasons.push('not connected to NATS');
  if (health.brokerReason) reasons.push(`NATS: ${health.brokerReason}`);
  if (health.role === 'leader') reasons.push(...lanesThatWait(health));
  return { ok: reasons.length === 0, reasons };
}

function lanesThatWait({ lanes }: RelayHealth): string[] {
  return lanes
    .filter(({ state }) => state !== 'publishing')
    .map(
      ({ stream, state, reason }) => `stream ${stream} is ${state}${reason === null ? '' : `: ${reason}`}`,
    );
}
