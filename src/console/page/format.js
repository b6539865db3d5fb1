const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 });

/** @param {number} value */
export const count = (value) => whole.format(value);

/** For axes: 1.5K, 20M. @param {number} value */
export const brief = (value) => (Math.abs(value) < 1000 ? short.format(value) : compact.format(value));

/** @param {number} perSecond */
export const rate = (perSecond) =>
  `${perSecond > 0 && perSecond < 10 ? short.format(perSecond) : whole.format(perSecond)}/s`;

/**
 * A length of time: 0.4 ms, 12 ms, 3.4 s, 5 min, 2 h, 3 days.
 *
 * @param {number} ms
 */
export function duration(ms) {
  if (ms < 1_000) return `${short.format(ms)} ms`;
  const seconds = ms / 1_000;
  if (seconds < 90) return `${short.format(seconds)} s`;
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** @param {number} ms */
export const ago = (ms) => (ms < 1_000 ? 'just now' : `${duration(Math.floor(ms / 1_000) * 1_000)} ago`);

/** @param {number} value */
export function bytes(value) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let left = value;
  let unit = 0;
  while (left >= 1_024 && unit < units.length - 1) {
    left /= 1_024;
    unit++;
  }
  return `${short.format(left)} ${units[unit]}`;
}

/** To the millisecond, in the viewer's zone. @param {number} ms */
export function moment(ms) {
  const date = new Date(ms);
  const pad = (/** @type {number} */ value, size = 2) => String(value).padStart(size, '0');
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  return `${day} ${clock(ms)}.${pad(date.getMilliseconds(), 3)}`;
}

/** @param {number} ms */
export function clock(ms) {
  return new Date(ms).toLocaleTimeString('en-GB');
}

/** @param {number} events @param {string} one @param {string} [many] */
export const plural = (events, one, many = `${one}s`) => `${count(events)} ${events === 1 ? one : many}`;
