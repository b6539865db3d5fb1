import { expect, test } from 'vitest';
import { createRelay } from '../../src/relay/index.ts';
import { silentLogger } from '../../src/telemetry/logger.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { startTcpProxy } from '../../src/testing/index.ts';
import { openStage } from '../guarantees/stage.ts';

test('a database that is lost among the first questions is named as what it is', async () => {
  await using stage = await openStage();
  await using proxy = await startTcpProxy({
    port: Number(new URL(stage.databaseUrl).port),
    tap(_, direction, bytes) {
      if (direction === 'up' && bytes.includes('has_table_privilege')) proxy.cut();
    },
  });
  const relay = createRelay({
    databaseUrl: () => proxy.through(stage.databaseUrl),
    nats: () => ({ servers: [stage.natsUrl] }),
    lanes: [{ stream: stage.stream, subjects: ['ng.>'] }],
    logger: silentLogger(),
    metrics: createMetrics(),
  });
  await expect(relay.start()).rejects.toMatchObject({
    code: 'database-unreachable',
    message: expect.stringMatching(/^cannot connect to PostgreSQL at 127\.0\.0\.1:/),
    hint: expect.stringMatching(/^Check that the server runs/),
  });
});
