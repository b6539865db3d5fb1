import { duration, moment } from './format.js';

/**
 * @typedef {import('../../observe/timeline.ts').Timeline} Timeline
 * @typedef {{ tone: 'good' | 'warn', title: string, more: string }} Step
 * @typedef {(ms: number) => string} At
 */

/**
 * What became of an event, in the order in which it happens.
 *
 * @param {Timeline} timeline
 * @returns {Step[]}
 */
export function stepsOf(timeline) {
  const { row } = timeline;
  const at = (/** @type {number} */ ms) =>
    row === null
      ? moment(ms)
      : `${moment(ms)}, ${duration(Math.max(0, ms - row.createdAtMs))} after its insert`;
  return [
    ...(row === null ? [] : [done('Inserted', `${moment(row.createdAtMs)}, segment ${row.segment}`)]),
    ...plannedSteps(timeline, at),
    ...storedSteps(timeline, at),
    ...consumerSteps(timeline, at),
  ];
}

/** @param {string} title @param {string} more @returns {Step} */
function done(title, more) {
  return { tone: 'good', title, more };
}

/** @param {Timeline} timeline @param {At} at @returns {Step[]} */
function plannedSteps({ planned }, at) {
  if (planned.length === 0)
    return [
      {
        tone: 'warn',
        title: 'Not planned',
        more: 'no relay has read it yet, or it is set aside as a dead letter',
      },
    ];
  return planned.map(({ kind, stream, atMs, batch, epoch }) =>
    done(
      `Planned${kind === 'new' ? '' : ` as ${kind}`} for ${stream}`,
      `${at(atMs)}; batch ${batch}, term ${epoch}`,
    ),
  );
}

/** @param {Timeline} timeline @param {At} at @returns {Step[]} */
function storedSteps({ planned, stored }, at) {
  if (planned.length > 0 && stored.length === 0)
    return [
      {
        tone: 'warn',
        title: 'Not found in the stream',
        more: 'not stored yet, deleted by a limit or after its ack, or NATS cannot be seen',
      },
    ];
  return stored.map(({ stream, sequence, atMs }) => done(`Stored in ${stream} at ${sequence}`, at(atMs)));
}

const WORDS = {
  done: (/** @type {string} */ name) => `Done by ${name}`,
  delivered: (/** @type {string} */ name) => `Delivered to ${name}, above its ack floor`,
  waiting: (/** @type {string} */ name) => `Waits for ${name}`,
};

/** @param {Timeline} timeline @param {At} at @returns {Step[]} */
function consumerSteps({ consumers, effects }, at) {
  const named = new Set(consumers.map(({ durable }) => durable));
  return [
    ...consumers.map(({ durable, state, recordedAtMs }) => ({
      tone:
        state === 'done' || recordedAtMs !== null
          ? /** @type {const} */ ('good')
          : /** @type {const} */ ('warn'),
      title: WORDS[state](durable),
      more:
        recordedAtMs !== null ? `recorded ${at(recordedAtMs)}` : state === 'done' ? 'past its ack floor' : '',
    })),
    ...effects
      .filter(({ consumer }) => !named.has(consumer))
      .map(({ consumer, atMs }) => done(`Recorded by ${consumer}`, at(atMs))),
  ];
}
