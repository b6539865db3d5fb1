import type { Session } from '../postgres/session.ts';

/** Which instance of a consumer that keeps an order works, as its lease says. */
export interface ConsumerSeat {
  /** `<stream>/<durable>`. */
  readonly consumer: string;
  readonly holder: string | null;
  /** For how long nobody has held the lease; null while somebody does, or if nobody ever has. */
  readonly emptyForMs: number | null;
}

export async function readConsumerSeats(session: Session): Promise<ConsumerSeat[]> {
  const rows = await session.query({
    text: `select consumer, holder,
                  case when expires_at < clock_timestamp()
                       then date_part('epoch', clock_timestamp() - expires_at) * 1000 end
             from postcommit.consumer_leases order by consumer`,
  });
  return rows.map(([consumer, holder, empty]) => ({
    consumer: consumer ?? '',
    holder: holder ?? null,
    emptyForMs: empty == null ? null : Number(empty),
  }));
}
