import type { BrokerLink, StreamState } from '../jetstream/index.ts';
import type { Session } from '../postgres/session.ts';
import { ok, type Remark, unseen } from './finding.ts';
import type { LaneSettings, Surroundings } from './surroundings.ts';

/** One question, and how it is answered. Looks and changes nothing. */
export interface Check {
  readonly name: string;
  /** What it looks at, for help and documentation. */
  readonly about: string;
  run(around: Surroundings): Promise<readonly Remark[]>;
}

type Title = Pick<Check, 'name' | 'about'>;
type Remarks = Remark | readonly Remark[];

/** A check that needs PostgreSQL. */
export function onPostgres(
  title: Title,
  look: (session: Session, around: Surroundings) => Promise<Remarks>,
): Check {
  return {
    ...title,
    async run(around) {
      const postgres = await around.postgres();
      if (postgres.kind === 'absent') return [unseen(WITHOUT_POSTGRES)];
      return listOf(await look(postgres.connection, around));
    },
  };
}

/** A check that needs NATS. */
export function onNats(
  title: Title,
  look: (link: BrokerLink, around: Surroundings) => Promise<Remarks>,
): Check {
  return {
    ...title,
    async run(around) {
      const nats = await around.nats();
      if (nats.kind === 'absent') return [unseen(WITHOUT_NATS)];
      return listOf(await look(nats.connection, around));
    },
  };
}

/** A check of each lane's stream, where it is there. */
export function onStreams(title: Title, look: (scene: StreamScene) => Promise<Remarks>): Check {
  return onNats(title, (link, around) =>
    eachLane(around, async (lane) => {
      const lookup = await around.stream(link, lane.stream);
      if (lookup.kind === 'found') return look({ state: lookup.state, lane, link, around });
      if (lookup.kind === 'missing' && around.options.provision)
        return ok('there is no stream yet: see the check stream');
      return unseen('there is no stream to look at: see the check stream');
    }),
  );
}

export interface StreamScene {
  readonly state: StreamState;
  readonly lane: LaneSettings;
  readonly link: BrokerLink;
  readonly around: Surroundings;
}

/** As `onStreams`, with PostgreSQL beside it. */
export function onStreamsAndPostgres(
  title: Title,
  look: (scene: StreamScene & { readonly session: Session }) => Promise<Remarks>,
): Check {
  return onStreams(title, async (scene) => {
    const postgres = await scene.around.postgres();
    return postgres.kind === 'absent'
      ? unseen(WITHOUT_POSTGRES)
      : look({ ...scene, session: postgres.connection });
  });
}

/** What is found of each lane, under its stream's name. */
export async function eachLane(
  { options }: Surroundings,
  look: (lane: LaneSettings) => Promise<Remarks>,
): Promise<Remark[]> {
  const remarks: Remark[] = [];
  for (const lane of options.lanes)
    for (const remark of listOf(await look(lane))) remarks.push({ stream: lane.stream, ...remark });
  return remarks;
}

export const WITHOUT_POSTGRES = 'needs PostgreSQL: see the check postgres-connection';
export const WITHOUT_NATS = 'needs NATS: see the check nats-connection';

function listOf(remarks: Remarks): readonly Remark[] {
  return 'severity' in remarks ? [remarks] : remarks;
}
