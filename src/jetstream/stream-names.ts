import { requestApi } from './api.ts';
import type { BrokerLink } from './connection.ts';

/** Streams that capture something of this subject or pattern; undefined where that is not to be had. */
export async function streamsCapturing(link: BrokerLink, subject: string): Promise<string[] | undefined> {
  const answer = await requestApi(link, 'STREAM.NAMES', { body: { subject } });
  if (answer.kind !== 'answer') return undefined;
  const { streams } = answer.body;
  return Array.isArray(streams) ? streams.filter((name) => typeof name === 'string') : [];
}
