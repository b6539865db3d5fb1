import { onOneLine, redact } from '../telemetry/redact.ts';

/**
 * `problem`: events do not flow, or will be lost, doubled or out of order. `warning`: a guarantee is weaker than it could be,
 * or it will become a problem. `unseen`: it could not be looked at, which says nothing about it.
 */
export type Severity = 'ok' | 'unseen' | 'warning' | 'problem';

/** What a check says of one thing. */
export interface Remark {
  readonly severity: Severity;
  /** Of a lane, where there may be several. */
  readonly stream?: string;
  readonly found: string;
  /** Why it is so, or what comes of it. */
  readonly cause?: string;
  /** What ends it: the command, the SQL or the setting where there is one. */
  readonly fix?: string;
}

/** A remark, and whose. */
export interface Finding {
  /** Name of the check. */
  readonly check: string;
  readonly severity: Severity;
  /** Null: not of one stream. */
  readonly stream: string | null;
  readonly found: string;
  readonly cause: string | null;
  readonly fix: string | null;
}

export function ok(found: string): Remark {
  return { severity: 'ok', found };
}

/** What has to be said of a fault. */
export interface Fault {
  readonly found: string;
  readonly cause: string;
  readonly fix: string;
}

export function warning(fault: Fault): Remark {
  return { severity: 'warning', ...fault };
}

export function problem(fault: Fault): Remark {
  return { severity: 'problem', ...fault };
}

export function unseen(found: string, fix?: string): Remark {
  return { severity: 'unseen', found, ...(fix === undefined ? {} : { fix }) };
}

/** Servers and users chose parts of the texts: no credentials of a URL and no control characters leave here. */
export function toFinding(check: string, { severity, stream, found, cause, fix }: Remark): Finding {
  const shown = (text: string | undefined) => (text === undefined ? null : onOneLine(redact(text)));
  return {
    check,
    severity,
    stream: shown(stream),
    found: onOneLine(redact(found)),
    cause: shown(cause),
    fix: shown(fix),
  };
}
