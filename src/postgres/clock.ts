import type { Session } from './session.ts';

/** The server's clock, in milliseconds of the Unix epoch. */
export async function readClock(session: Session): Promise<number> {
  const [row] = await session.query({ text: "select date_part('epoch', clock_timestamp()) * 1000" });
  return Number(row?.[0]);
}
