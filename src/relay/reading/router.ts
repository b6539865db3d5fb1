import { createSubjectFilter } from '../../jetstream/index.ts';
import type { LaneOptions } from '../options.ts';

/** The number of the first lane that takes a subject, -1 where none does. */
export type Router = (subject: string) => number;

export function createRouter(lanes: readonly LaneOptions[]): Router {
  const filters = lanes.map(({ subjects }) => createSubjectFilter(subjects));
  return (subject) => filters.findIndex((takes) => takes(subject));
}
