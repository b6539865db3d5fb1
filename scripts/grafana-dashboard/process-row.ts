import { graph, type Row } from './panels.ts';
import { ofRelay, rate } from './queries.ts';

export const processes: Row = {
  title: 'Process of the relays',
  panels: [
    graph({
      title: 'CPU',
      width: 8,
      unit: 'percentunit',
      queries: { '{{instance}}': rate(ofRelay('process_cpu_seconds_total')) },
      about: 'Of one core, which is all that the relay can use.',
    }),
    graph({
      title: 'Memory',
      width: 8,
      unit: 'bytes',
      queries: {
        '{{instance}}': ofRelay('process_resident_memory_bytes'),
        '{{instance}} heap': ofRelay('nodejs_heap_size_used_bytes'),
      },
    }),
    graph({
      title: 'Lag of the event loop',
      width: 8,
      unit: 's',
      queries: { '{{instance}}': ofRelay('nodejs_eventloop_lag_seconds') },
      about: 'Measured at each scrape.',
    }),
    graph({
      title: 'Garbage collection',
      width: 8,
      unit: 'percentunit',
      queries: {
        '{{instance}} {{kind}}': `sum by (instance, kind) (${rate(ofRelay('nodejs_gc_duration_seconds_sum'))})`,
      },
      about: 'Share of the time.',
    }),
    graph({
      title: 'Open files and sockets',
      width: 8,
      unit: 'short',
      queries: { '{{instance}}': ofRelay('process_open_fds') },
    }),
    graph({
      title: 'Runs since',
      width: 8,
      unit: 'dtdurations',
      queries: { '{{instance}}': `time() - ${ofRelay('process_start_time_seconds')}` },
      about: 'Time since the process was started.',
    }),
  ],
};
