/** Which series a panel shows, by the variables of the dashboard. Consumers may be of other jobs than the relays. */
const RELAY = 'job=~"$job", instance=~"$instance"';
const LANE = `${RELAY}, stream=~"$stream"`;
const CONSUMER = 'consumer=~"$consumer"';

export const ofRelay = (name: string, more = ''): string => select(name, RELAY, more);
export const ofLane = (name: string, more = ''): string => select(name, LANE, more);
export const ofConsumer = (name: string, more = ''): string => select(name, CONSUMER, more);

function select(name: string, labels: string, more: string): string {
  return `${name}{${more === '' ? labels : `${labels}, ${more}`}}`;
}

/** Of a counter, by the second, over the time that suits the panel's width. */
export const rate = (series: string): string => `rate(${series}[$__rate_interval])`;

export const increase = (series: string): string => `increase(${series}[$__rate_interval])`;

/** Of a histogram's buckets, for each value of `by`. */
export function quantile(share: number, buckets: string, by: readonly string[] = []): string {
  return `histogram_quantile(${share}, sum by (${[...by, 'le'].join(', ')}) (${rate(buckets)}))`;
}
