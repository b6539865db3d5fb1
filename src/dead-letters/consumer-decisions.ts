import type { Session } from '../postgres/session.ts';
import type { LetterSelection } from './selection.ts';

/** Which dead letters of consumers an operator means. Without a consumer: of all of them. */
export interface ConsumerSelection extends Pick<LetterSelection, 'ids' | 'stream' | 'keys'> {
  readonly consumer?: string | undefined;
  /** By what way it was asked for. */
  readonly via?: string | undefined;
}

/**
 * What is to become of dead letters of consumers, and who asked for it. Nobody has to be asked: a consumer looks for those
 * that are `retrying` every second, and no lane keeps them in mind. Returns how many there were.
 */
export async function decideConsumerLetters(
  session: Session,
  kind: 'retry' | 'discard',
  { ids, stream, keys, consumer, via }: ConsumerSelection,
): Promise<number> {
  const [row] = await session.query({
    text: `with decided as (
             update postcommit.dead_letters set state = case when $1 = 'retry' then 'retrying' else 'discarded' end
              where consumer is not null and (state = 'parked' or $1 = 'discard' and state = 'retrying')
                and ($2::int8[] is null or id = any($2)) and ($3::text is null or stream = $3)
                and ($4::text[] is null or key = any($4)) and ($5::text is null or consumer = $5)
             returning id),
           counted as (select count(*) as n from decided),
           noted as (
             insert into postcommit.requests (kind, detail, finished_at, result)
             select $1, $6::jsonb, clock_timestamp(), jsonb_build_object('consumerLetters', n) from counted where n > 0)
           select n from counted`,
    values: [
      kind,
      ids ?? null,
      stream ?? null,
      keys ?? null,
      consumer ?? null,
      JSON.stringify({ ids, stream, keys, consumer, via }),
    ],
  });
  return Number(row?.[0] ?? 0);
}
