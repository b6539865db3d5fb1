import type { StoredEvent } from '../../event.ts';
import {
  type BrokerLink,
  type CloudEventHeaders,
  headerBlock,
  markerHeaderBlock,
} from '../../jetstream/index.ts';
import { type Cargo, positionOf } from '../lane/cargo.ts';
import { createGate, type Gate } from '../lane/gate.ts';
import type { LaneMeter } from '../lane/lane-meter.ts';
import { createTracedPublisher, type EventMessage } from '../lane/traced-publisher.ts';
import { createSlots, type Slot } from './slots.ts';

/**
 * The sending half of a lane in `stream` ordering: planned messages go out pipelined, each expecting the sequence before
 * its own.
 *   L2  A message is sent only for its own slot.
 *   L3  Only an acknowledgement at exactly the planned sequence settles. Every other answer, and none, is doubt.
 */
export interface Chain {
  readonly gate: Gate;
  /** Highest sequence known to hold our message; null before the first. */
  readonly settledTo: number | null;
  /** The broker confirmed this very slot, be it above `settledTo`, since the last comparison. */
  isSettled(sequence: number): boolean;
  /** The last sequence filled. */
  readonly end: number;
  readonly pending: number;
  readonly pendingBytes: number;
  /** Sent and not answered yet. */
  readonly inFlight: number;
  readonly oldest: StoredEvent | undefined;
  /** An event that the broker will never take, since the last comparison. */
  readonly refusal: Refusal | undefined;
  /** The stream was compared with the log: everything up to `decided` is over. Nothing flows yet. */
  restart(decided: number, settledTo: number | null): void;
  /** Planned messages fill the next slots. */
  append(cargo: readonly Cargo[]): void;
  /** Sends from now on. `idle`: nothing waits, here or to be appended. */
  flow(options: { idle: boolean }): void;
  close(): void;
}

export interface Refusal {
  readonly sequence: number;
  readonly event: StoredEvent;
  readonly reason: string;
}

export interface ChainOptions {
  readonly link: BrokerLink;
  readonly stream: string;
  readonly source: string;
  /** Undefined where messages are no CloudEvents. */
  readonly cloudEvents: CloudEventHeaders | undefined;
  /** Where markers go. */
  readonly markerSubject: () => string;
  readonly meter: LaneMeter;
  /** The gate closed, or may be opened sooner than it asked for. */
  readonly wake: () => void;
  /** After each settled message. */
  readonly onSettled: (cargo: Cargo) => void;
}

const NO_PAYLOAD = new Uint8Array();

// biome-ignore lint/complexity/noExcessiveLinesPerFunction: one closure over the chain's state, its parts named below.
export function createChain(options: ChainOptions): Chain {
  const { link, stream, meter, wake, onSettled } = options;
  const slots = createSlots();
  let start = { decided: 0, settledTo: null as number | null };
  let refusal: Refusal | undefined;

  const gate = createGate({ link, meter, wake, onClose: () => publisher.abandon() });
  const refuse = (sequence: number, reason: string): void => {
    const cargo = slots.at(sequence);
    if (cargo === undefined) return;
    const position = positionOf(cargo);
    if (cargo.kind === 'event') {
      refusal ??= { sequence, event: cargo.event, reason };
      gate.doubt(`the event at position ${position} was refused: ${reason}`);
      return;
    }
    gate.pause({
      outcome: 'refused',
      reason: `the marker in the slot of the event at position ${position} was refused as well: ${reason}. Let stream '${stream}' take small messages on '${options.markerSubject()}'`,
    });
  };

  const publisher = createTracedPublisher({
    link,
    stream,
    onStored(token, sequence) {
      if (token !== sequence) return gate.doubt(`stored at sequence ${sequence} instead of ${token}`); // L3
      const cargo = slots.settle(sequence);
      gate.stored();
      if (cargo !== undefined) {
        if (cargo.kind === 'event') {
          if (cargo.copy) meter.copied();
          else meter.stored(cargo.event);
        }
        onSettled(cargo);
      }
      if (gate.state.kind === 'flowing' && publisher.inFlight === 0) pump(); // The probe came back.
    },
    // The first answer that is not `stored` decides; those behind it only follow from it.
    onFailure(token, outcome) {
      meter.failed(outcome.kind);
      if (outcome.kind === 'duplicate') gate.doubt('the broker calls it a duplicate, which proves nothing');
      else if (outcome.kind === 'ambiguous') gate.fruitless(outcome.reason);
      else if (outcome.kind === 'refused') refuse(token, outcome.reason);
      else gate.pause({ outcome: outcome.kind, reason: outcome.reason });
    },
    onRoom: () => pump(),
  });

  const pump = (): void => {
    while (gate.state.kind === 'flowing' && publisher.hasRoom()) {
      if (gate.probing && publisher.inFlight > 0) return;
      const slot = slots.next();
      if (slot === undefined) return;
      publisher.publish(toMessage(slot, options), slot.sequence);
    }
  };
  return {
    gate,
    get settledTo() {
      return slots.head - 1 > start.decided ? slots.head - 1 : start.settledTo;
    },
    isSettled: slots.isSettled,
    get end() {
      return slots.end;
    },
    get pending() {
      return slots.pending;
    },
    get pendingBytes() {
      return slots.pendingBytes;
    },
    get inFlight() {
      return publisher.inFlight;
    },
    get oldest() {
      const { oldest } = slots;
      return oldest?.kind === 'event' ? oldest.event : undefined;
    },
    get refusal() {
      return refusal;
    },
    restart(decided, settledTo) {
      slots.restart(decided);
      start = { decided, settledTo };
      refusal = undefined;
    },
    append(cargo) {
      slots.append(cargo);
      publisher.look();
      pump();
    },
    flow({ idle }) {
      gate.open(idle);
      pump();
    },
    close() {
      gate.close();
      publisher.close();
    },
  };
}

/** L2 */
function toMessage({ sequence, cargo }: Slot, options: ChainOptions): EventMessage {
  const { stream, source, cloudEvents, markerSubject } = options;
  const expectedLastSequence = sequence - 1;
  if (cargo.kind === 'marker') {
    const headers = markerHeaderBlock(cargo, { stream, source, expectedLastSequence });
    return { subject: markerSubject(), headers, payload: NO_PAYLOAD };
  }
  const { event, messageId } = cargo;
  return {
    subject: event.subject,
    headers: headerBlock(event, { stream, source, messageId, expectedLastSequence, cloudEvents }),
    payload: event.payload,
    event,
  };
}
