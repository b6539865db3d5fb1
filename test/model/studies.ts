import { captureStudy } from './capture.ts';
import { chainStudy } from './chain-study.ts';
import { keyStudy } from './key.ts';
import { leaseStudy } from './lease.ts';
import { parkingStudy } from './parking.ts';
import type { Study } from './study.ts';

export const STUDIES: readonly Study[] = [captureStudy, parkingStudy, leaseStudy, chainStudy, keyStudy];
