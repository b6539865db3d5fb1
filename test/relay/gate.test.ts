import { expect, test } from 'vitest';
import type { BrokerLink } from '../../src/jetstream/index.ts';
import { createGate } from '../../src/relay/lane/gate.ts';
import type { LaneMeter } from '../../src/relay/lane/lane-meter.ts';

function createRig() {
  let reconnected: () => void = () => undefined;
  const link = {
    onReconnect(listener: () => void) {
      reconnected = listener;
      return () => undefined;
    },
  } as unknown as BrokerLink;
  const meter = { paused: () => undefined, resumed: () => undefined } as unknown as LaneMeter;
  const gate = createGate({ link, meter, onClose: () => undefined, wake: () => undefined });
  return { gate, reconnect: () => reconnected() };
}

test('a comparison opens the gate', () => {
  const { gate, reconnect } = createRig();
  reconnect();
  gate.comparing();
  gate.open(true);
  expect(gate.state.kind).toBe('flowing');
});

test('a comparison that a reconnect has overtaken leaves it closed (L4)', () => {
  const { gate, reconnect } = createRig();
  gate.comparing();
  reconnect();
  gate.open(true);
  expect(gate.state).toMatchObject({ kind: 'doubt', why: expect.stringContaining('restored') });
  gate.comparing();
  gate.open(true);
  expect(gate.state.kind).toBe('flowing');
});

const full = { outcome: 'saturated', reason: 'the stream is full' };

test('a pause lasts until its probe is stored, and no probe makes it look over', () => {
  const { gate } = createRig();
  gate.comparing();
  gate.open(true);
  gate.pause(full);
  expect(gate.obstacle).toBe(full);
  gate.comparing();
  gate.open(false);
  expect([gate.state.kind, gate.probing, gate.obstacle]).toEqual(['flowing', true, full]);
  gate.stored();
  expect([gate.probing, gate.obstacle]).toEqual([false, undefined]);
});

test('a pause is over where nothing is left to probe with, and unknown once the connection was lost', () => {
  const { gate, reconnect } = createRig();
  gate.pause(full);
  gate.comparing();
  gate.open(true);
  expect(gate.obstacle).toBeUndefined();
  gate.pause(full);
  reconnect();
  expect(gate.obstacle).toBeUndefined();
});
