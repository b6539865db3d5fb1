import type { Session } from '../postgres/session.ts';

/** Who leads, as the lease row says. */
export interface Leadership {
  /** 0: no relay has led yet. */
  readonly epoch: number;
  /** Null after a clean stop. */
  readonly holder: string | null;
  /** Until the lease runs out, on the database's clock; negative once it has. Null without a holder. */
  readonly remainingMs: number | null;
}

export async function readLeadership(session: Session): Promise<Leadership> {
  const [row] = await session.query({
    text: `select epoch, holder, date_part('epoch', expires_at - clock_timestamp()) * 1000 from postcommit.lease`,
  });
  const [epoch, holder, remaining] = row ?? [];
  return {
    epoch: Number(epoch ?? 0),
    holder: holder ?? null,
    remainingMs: remaining == null ? null : Number(remaining),
  };
}

/** Whether a relay leads now. */
export function isLed({ holder, remainingMs }: Leadership): boolean {
  return holder !== null && (remainingMs ?? 0) > 0;
}
