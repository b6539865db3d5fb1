import type { Random } from '../../../src/demo/random.ts';
import type { DirectedRelay } from './relay.ts';
import type { Stage } from './stage.ts';
import { happens } from './waiting.ts';

/** What a relay had on its way when somebody else took the first of its places. */
export interface Displaced {
  readonly relay: DirectedRelay;
  /** Lets what was held pass. */
  release(): void;
}

/** A stranger's message is stored while a relay's are held on their way; undefined if nothing was published. */
export async function letStrangerBeFirst(stage: Stage, random: Random): Promise<Displaced | undefined> {
  const relay = await stage.startRelay();
  await relay.untilLane('publishing');
  const sending = relay.wires.nats.hold('HPUB ');
  await stage.write(random.between(2, 9));
  if (!(await happens(sending.reached, 5_000))) return undefined;
  await stage.publishForeign();
  return { relay, release: sending.release };
}
