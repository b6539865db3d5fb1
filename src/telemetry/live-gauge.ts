import { Gauge, type GaugeConfiguration } from 'prom-client';

/** A gauge that is asked when somebody looks: what lies in memory costs nothing between two scrapes. */
export interface LiveGauge<Label extends string> extends Gauge<Label> {
  /** Calls `read` at each scrape, to set the gauge. The function it returns does so for the last time. */
  follow(read: (gauge: Gauge<Label>) => void): () => void;
}

export function createLiveGauge<Label extends string = never>(
  configuration: GaugeConfiguration<Label>,
): LiveGauge<Label> {
  const readers = new Set<(gauge: Gauge<Label>) => void>();
  const gauge: Gauge<Label> = new Gauge({
    ...configuration,
    collect() {
      for (const read of readers) read(gauge);
    },
  });
  return Object.assign(gauge, {
    follow(read: (gauge: Gauge<Label>) => void) {
      readers.add(read);
      return () => {
        if (readers.delete(read)) read(gauge);
      };
    },
  });
}
