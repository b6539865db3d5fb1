import { pgSchema } from 'drizzle-orm/pg-core';

/** Everything postcommit keeps lives in this schema; its name is fixed, other programs rely on it. */
export const postcommitSchema = pgSchema('postcommit');
