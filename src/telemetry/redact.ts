/**
 * Takes credentials out of any URL in a text before a person or a log sees it. Greedy on purpose: a password may
 * hold an unencoded `@` or `/`, and hiding a host too many is better than showing half a password.
 */
export function redact(text: string): string {
  return text
    .replace(/([a-z][a-z0-9+.-]*:\/\/)\S*@/gi, '$1***@')
    .replace(/([?&](?:password|sslpassword|token)=)[^&\s]*/gi, '$1***');
}

/** Shows the control characters of a text that somebody else chose: a terminal obeys them. */
export function onOneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
