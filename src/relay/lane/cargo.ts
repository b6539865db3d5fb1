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
      /** A replay: what becomes of it says nothing of the event itself. */
      readonly copy: boolean;
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
export function repeated(event: StoredEvent, copy = false): Cargo {
  return { kind: 'event', event, messageId: null, copy };
}

/** An event that is sent for the first time. */
export function fresh(event: StoredEvent): Cargo {
  return { kind: 'event', event, messageId: event.eventId, copy: false };
}

/** A copy, by an id of its own: the server may still remember that of the event. */
export function copied(event: StoredEvent, batch: number): Cargo {
  return { kind: 'event', event, messageId: copyId(event, batch), copy: true };
}

export function copyId({ eventId }: StoredEvent, batch: number): string {
  return `${eventId}:${batch}`;
}

/** An event itself: no marker, and no copy of it. */
export function isOriginal(cargo: Cargo): boolean {
  return cargo.kind === 'event' && !cargo.copy;
}
