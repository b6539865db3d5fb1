import { randomBytes } from 'node:crypto';
import { nkeys } from '@nats-io/nats-core';
import { createNatsAccounts } from '../support/nats-accounts.ts';

/** One secret as both sides know it. */
export interface Login {
  /** Lines for the server's configuration. */
  readonly config: string;
  readonly secret: string;
}

/** A way to log in to NATS. */
export interface LoginKind {
  /** The setting that holds the secret; with `_FILE` the one that names its file. */
  readonly setting: string;
  /** What it takes besides. */
  readonly besides?: Readonly<Record<string, string>>;
  /** A new one each time. */
  create(): Login;
}

const password = () => randomBytes(12).toString('hex');

export const LOGIN_KINDS: Readonly<Record<string, LoginKind>> = {
  'user and password': {
    setting: 'NATS_PASSWORD',
    besides: { NATS_USER: 'relay' },
    create() {
      const secret = password();
      return { secret, config: `authorization { user: relay, password: "${secret}" }` };
    },
  },
  token: {
    setting: 'NATS_TOKEN',
    create() {
      const secret = password();
      return { secret, config: `authorization { token: "${secret}" }` };
    },
  },
  nkey: {
    setting: 'NATS_NKEY',
    create() {
      const user = nkeys.createUser();
      return {
        secret: new TextDecoder().decode(user.getSeed()),
        config: `authorization { users: [ { nkey: ${user.getPublicKey()} } ] }`,
      };
    },
  },
  creds: {
    setting: 'NATS_CREDS',
    create() {
      const accounts = createNatsAccounts();
      return { secret: accounts.creds(), config: accounts.config };
    },
  },
};
