import type { PostcommitError } from '../errors.ts';
import { type RelayCommand, type RelayProcess, startRelayProcess } from './relay-process.ts';

const RELAYS = 2;

/** Two relays, one leading and one standing by; whoever is killed is replaced. */
export interface RelayPair {
  readonly running: readonly RelayProcess[];
  /** Resolves with who leads, now or next. */
  leading(): Promise<RelayProcess>;
  /** The last warning of the leader or of any other, for a person. */
  readonly trouble: string;
  /** Resolves when both are ready. */
  ready(): Promise<void>;
  /** These are going to be killed. Resolves with the next leader. */
  condemn(victims: readonly RelayProcess[]): Promise<RelayProcess>;
  /** Starts new ones for those that ended. */
  replenish(): void;
  /** Resolves with the error if one ends by itself. */
  readonly failed: Promise<PostcommitError>;
  stop(): Promise<void>;
}

export function startRelayPair(command: RelayCommand): RelayPair {
  let started = 0;
  let running: RelayProcess[] = [];
  let announceLeader: (relay: RelayProcess) => void = () => {};
  let fail: (error: PostcommitError) => void = () => {};
  const failed = new Promise<PostcommitError>((resolve) => {
    fail = resolve;
  });
  const listener = {
    onLeading: (relay: RelayProcess) => announceLeader(relay),
    onUnexpectedEnd: (error: PostcommitError) => fail(error),
  };
  let stopping = false;
  const start = () => {
    started++;
    running.push(startRelayProcess(command, { number: started, listener }));
  };

  const nextLeader = () =>
    new Promise<RelayProcess>((resolve) => {
      announceLeader = resolve;
    });

  while (running.length < RELAYS) start();
  return {
    get running() {
      return running;
    },
    async leading() {
      return running.find(({ role }) => role === 'leader') ?? nextLeader();
    },
    get trouble() {
      return running.map(({ trouble }) => trouble).find((trouble) => trouble !== '') ?? '';
    },
    failed,
    async ready() {
      await Promise.all(running.map((relay) => relay.ready));
    },
    condemn(victims) {
      for (const victim of victims) victim.condemn();
      return nextLeader();
    },
    replenish() {
      running = running.filter(({ role }) => role !== 'ended');
      while (running.length < RELAYS && !stopping) start();
    },
    async stop() {
      stopping = true;
      await Promise.all(running.map((relay) => relay.stop()));
    },
  };
}
