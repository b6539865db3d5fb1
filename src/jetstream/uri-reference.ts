const ENCODED = '%[0-9A-Fa-f]{2}';
const CHARACTER = `(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|${ENCODED})`;
const PATH = `(?:${CHARACTER}|/)*`;
const IN_AUTHORITY = `[A-Za-z0-9._~!$&'()*+,;=`;
const AUTHORITY = `(?:(?:${IN_AUTHORITY}:-]|${ENCODED})*@)?(?:\\[[0-9A-Fa-f:.]+\\]|(?:${IN_AUTHORITY}-]|${ENCODED})*)(?::\\d*)?`;
/** Two slashes begin an authority, never a path. */
const HIERARCHY = `(?://${AUTHORITY}(?:/${PATH})?|(?!//)${PATH})`;
const SCHEME = '[A-Za-z][A-Za-z0-9+.-]*:';
const REST = `(?:${CHARACTER}|[/?])*`;
/** RFC 3986, section 4.1. Without a scheme the first segment has no colon. */
const URI_REFERENCE = new RegExp(`^(?:${SCHEME}|(?![^/?#]*:))${HIERARCHY}(?:\\?${REST})?(?:#${REST})?$`);

/** The text itself where it is a URI reference; else all that cannot stand in one is percent-encoded. */
export function asUriReference(text: string): string {
  return URI_REFERENCE.test(text) ? text : encodeURIComponent(text.replace(/\p{Surrogate}/gu, '\ufffd'));
}
