import type { PostcommitError } from '../errors.ts';
import { type RelayCommand, type RelayProcess, startRelayProcess } from './relay-process.ts';

/** Two relays, one leading and one standing by; whoever is killed is replaced. */
export interface RelayPair {
  readonly running: readonly RelayProcess[];
  readonly leader: RelayProcess | undefined;
  /** The last warning of the leader or of any other, for a person. */
  readonly trouble: string;
  /** Resolves when both are ready. */
  ready(): Promise<void>;
  /** Kills these and starts new ones. Resolves with the next leader. */
  killAndReplace(victims: readonly RelayProcess[]): Promise<RelayProcess>;
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
    if (stopping) return;
    started++;
    running.push(startRelayProcess(command, { number: started, listener }));
  };

  start();
  start();
  return {
    get running() {
      return running;
    },
    get leader() {
      return running.find(({ role }) => role === 'leader');
    },
    get trouble() {
      return running.map(({ trouble }) => trouble).find((trouble) => trouble !== '') ?? '';
    },
    failed,
    async ready() {
      await Promise.all(running.map((relay) => relay.ready));
    },
    async killAndReplace(victims) {
      const nextLeader = new Promise<RelayProcess>((resolve) => {
        announceLeader = resolve;
      });
      for (const victim of victims) victim.kill();
      running = running.filter((relay) => !victims.includes(relay));
      for (const _ of victims) start();
      await Promise.all(victims.map((victim) => victim.exited));
      return nextLeader;
    },
    async stop() {
      stopping = true;
      await Promise.all(running.map((relay) => relay.stop()));
    },
  };
}
