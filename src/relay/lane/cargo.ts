import type { StoredEvent } from '../../event.ts';

/** What a planned slot is filled with. */
export type Cargo =
  | {
      readonly kind: 'event';
      readonly event: StoredEvent;
      /**
       * First sends carry an id. A repeat does not: its slot protects it, and a duplicate table (which may outlive what
       * it remembers, or remember what was refused) cannot swallow it.
       */
      readonly messageId: string | null;
    }
  /** An empty message in the slot of an event that is not to be stored there. */
  | { readonly kind: 'marker'; readonly position: number; readonly eventId: string };

export function positionOf(cargo: Cargo): number {
  return cargo.kind === 'event' ? cargo.event.position : cargo.position;
}

export function bytesOf(cargo: Cargo): number {
  return cargo.kind === 'event' ? cargo.event.payload.length : 0;
}

/** An event that was planned before, or is protected by nothing but its slot. */
export function repeated(event: StoredEvent): Cargo {
  return { kind: 'event', event, messageId: null };
}

/** An event that is sent for the first time. */
export function fresh(event: StoredEvent): Cargo {
  return { kind: 'event', event, messageId: event.eventId };
}
