/** Looks for what keeps events from flowing, or will; each finding with its cause and its fix. Changes nothing. */

export { counted } from '../quantities.ts';
export type { Check } from './check.ts';
export { CHECKS } from './checks.ts';
export { examine } from './examine.ts';
export type { Finding, Severity } from './finding.ts';
export type { DoctorOptions, LaneSettings } from './surroundings.ts';
