import type { RelayHealth } from '../daemon/health.ts';
import { type Handler, json } from '../daemon/http-server.ts';
import type { Observation } from '../observe/sampler.ts';
import { bearsToken } from './access.ts';
import type { ConsoleContext } from './console.ts';

/** What the page is kept up to date with. */
export interface LivePage extends Observation {
  readonly version: string;
  readonly access: {
    /** A token is set, so that whoever has it may do more than look. */
    readonly token: boolean;
    /** This request had it. */
    readonly unlocked: boolean;
  };
  /** Of this process. */
  readonly relay: Pick<RelayHealth, 'role' | 'epoch' | 'lanes' | 'reason'> | null;
}

/** As many as a page may have missed, asleep, without its history having a hole. */
const SECONDS_AGAIN = 60;

/** Everything that moves: one request every two seconds keeps a page up to date. `since` leaves out what it has. */
export function liveHandler({ options, sampler }: ConsoleContext): Handler {
  return async (asked) => {
    const since = Number(asked.query.get('since') ?? 0);
    const { samples, seconds, ...observation } = await sampler.observe();
    const token = options.access.token();
    const page: LivePage = {
      ...observation,
      version: options.version,
      access: { token: token !== null, unlocked: token !== null && bearsToken(asked, token) },
      relay: options.relay === undefined ? null : healthOf(options.relay()),
      samples: samples.filter((sample) => !(sample.atMs <= since)),
      // On another clock: the last ones always, since the second that was going on then has had more.
      seconds: since > 0 ? seconds.slice(-SECONDS_AGAIN) : seconds,
    };
    return json(200, page);
  };
}

function healthOf({ role, epoch, lanes, reason = null }: RelayHealth) {
  return { role, epoch, lanes, reason };
}
