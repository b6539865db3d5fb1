import { type ErrorCode, PostcommitError } from '../errors.ts';

/** Documented in every `--help`; scripts rely on them. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  configInvalid: 3,
  unreachable: 4,
  unsuitable: 5,
} as const;

const BY_CODE: Readonly<Record<ErrorCode, number>> = {
  'config-invalid': EXIT.configInvalid,
  'event-invalid': EXIT.failure,
  'outside-transaction': EXIT.failure,
  'database-unreachable': EXIT.unreachable,
  'broker-unreachable': EXIT.unreachable,
  'database-unsuitable': EXIT.unsuitable,
  'migration-missing': EXIT.unsuitable,
  'stream-unsuitable': EXIT.unsuitable,
  'service-failed': EXIT.failure,
};

export function exitCodeOf(error: unknown): number {
  return error instanceof PostcommitError ? BY_CODE[error.code] : EXIT.failure;
}

export const EXIT_CODES_HELP = `
Exit codes:
  0      done
  1      failed; audit, doctor, catalog: it found something; replay: not finished, or something left out
  2      wrong usage: unknown command or flag
  3      configuration invalid
  4      PostgreSQL or NATS cannot be reached
  5      PostgreSQL or NATS is unsuitable: migration missing, not a primary, another stream's subjects, …
  128+n  ended at once by a second signal n (130 SIGINT, 143 SIGTERM); replay stops waiting at the first`;
