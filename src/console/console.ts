import type { RelayHealth } from '../daemon/health.ts';
import type { Handler, Routes } from '../daemon/http-server.ts';
import { type Connections, createConnections, type Sources } from '../observe/connections.ts';
import { createSampler } from '../observe/sampler.ts';
import { type Access, refuseLook, refuseMore } from './access.ts';
import { pageRoutes } from './assets.ts';
import { createDeciding } from './deciding.ts';
import { eventHandler, eventsHandler } from './events-api.ts';
import { lettersHandler } from './letters-api.ts';
import { liveHandler } from './live-api.ts';
import { payloadHandler } from './payload-api.ts';

export interface ConsoleOptions extends Sources {
  /** Streams to look at besides those that something was planned for. */
  readonly streams: readonly string[];
  readonly access: Access;
  readonly version: string;
  /** Of the relay in this process, if there is one. */
  readonly relay?: (() => RelayHealth) | undefined;
}

/** The web page of an operator: what it shows, and what it lets do. */
export interface Console extends AsyncDisposable {
  readonly routes: Routes;
}

/** What the handlers share. */
export interface ConsoleContext {
  readonly options: ConsoleOptions;
  readonly connections: Connections;
  readonly sampler: ReturnType<typeof createSampler>;
}

export function createConsole(options: ConsoleOptions): Console {
  const connections = createConnections(options);
  const sampler = createSampler({ connections, streams: options.streams });
  const context: ConsoleContext = { options, connections, sampler };
  const look =
    (handler: Handler): Handler =>
    (asked) =>
      refuseLook(options.access, asked) ?? handler(asked);
  const more =
    (handler: Handler): Handler =>
    (asked) =>
      refuseMore(options.access, asked) ?? handler(asked);
  const pages = Object.entries(pageRoutes()).map(([path, handler]) => [path, look(handler as Handler)]);
  return {
    routes: {
      ...Object.fromEntries(pages),
      '/api/live': look(liveHandler(context)),
      '/api/events': look(eventsHandler(context)),
      '/api/event': look(eventHandler(context)),
      '/api/dead-letters': { GET: look(lettersHandler(context)), POST: more(createDeciding(context)) },
      '/api/payload': more(payloadHandler(context)),
    },
    async [Symbol.asyncDispose]() {
      sampler.close();
      await connections[Symbol.asyncDispose]();
    },
  };
}
