import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';

export interface ExportedSpan {
  readonly name: string;
  readonly service: string;
  readonly scope: string;
  readonly traceId: string;
}

/** Takes what an OpenTelemetry SDK exports as OTLP in JSON. */
export interface Collector extends AsyncDisposable {
  readonly url: string;
  readonly spans: readonly ExportedSpan[];
}

export async function startCollector(): Promise<Collector> {
  const spans: ExportedSpan[] = [];
  const server = createServer(async (request, response) => {
    spans.push(...spansIn((await json(request)) as Export));
    response.setHeader('content-type', 'application/json').end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

interface Export {
  readonly resourceSpans: readonly {
    readonly resource: {
      readonly attributes: readonly {
        readonly key: string;
        readonly value: { readonly stringValue?: string };
      }[];
    };
    readonly scopeSpans: readonly {
      readonly scope: { readonly name: string };
      readonly spans: readonly { readonly name: string; readonly traceId: string }[];
    }[];
  }[];
}

function spansIn({ resourceSpans }: Export): ExportedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue ?? '';
    return scopeSpans.flatMap(({ scope, spans }) =>
      spans.map(({ name, traceId }) => ({ name, service, scope: scope.name, traceId })),
    );
  });
}
