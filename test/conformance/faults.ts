/** The drivers in `drivers/faulty`, and the rules that each breaks: these and no others. */
export const FAULTY_WRITERS: Readonly<Record<string, readonly string[]>> = {
  'publishes-outside': ['P-W1', 'P-W2', 'P-W3', 'P-W9', 'P-W12'],
  'ignores-event-ids': ['P-W7'],
  'hides-refusals': ['P-W9', 'P-W10'],
  // The characters that it makes of bytes are more than it was given.
  'bytes-as-text': ['P-W4', 'P-W10'],
  'enqueues-before-it-locks': ['P-W11'],
  'notifies-in-two-phases': ['P-W12'],
  'drops-headers': ['P-W5', 'P-W6', 'P-W9'],
  'returns-from-insert': ['P-W13'],
};

export const FAULTY_CONSUMERS: Readonly<Record<string, readonly string[]>> = {
  // An event that is lost is also one that is missing in the order.
  'acks-before-commit': ['P-C3', 'P-C8'],
  'keeps-no-inbox': ['P-C1', 'P-C4', 'P-C6', 'P-C7', 'P-C10', 'P-C11'],
  'records-outside': ['P-C1', 'P-C3', 'P-C5', 'P-C8', 'P-C10'],
  'trusts-message-ids': ['P-M2', 'P-C6', 'P-C7', 'P-C10', 'P-C11'],
  'treats-markers-as-events': ['P-M1'],
  'commits-with-the-default': ['P-C2'],
  'goes-on-behind-a-failure': ['P-C8'],
  'gives-no-sign-of-life': ['P-C9'],
  'acknowledges-failures': ['P-C5', 'P-C8', 'P-C10'],
  'forgets-places': ['P-C1', 'P-C11'],
  'retries-for-ever': ['P-C10', 'P-C13'],
  'reads-the-outbox': ['P-C13'],
};
