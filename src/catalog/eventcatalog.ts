import { nameOf } from '../contracts/typed-event.ts';
import { bySubject, channelIdOf, plainName } from './channel.ts';
import { type CatalogEvent, type CatalogService, COMPUTED, type JsonSchema, valuesOf } from './model.ts';

/** Path in the folder of an EventCatalog, and what stands there. */
export type CatalogFiles = ReadonlyMap<string, string>;

/**
 * Files that EventCatalog (https://www.eventcatalog.dev) shows: a folder for each event, service and channel. The highest
 * version of an event is its page, older ones are in `versioned/`.
 */
export function toEventCatalog(services: readonly CatalogService[]): CatalogFiles {
  const files = new Map<string, string>();
  for (const service of services) files.set(`services/${service.name}/index.mdx`, servicePage(service));
  const produced = services.flatMap(({ produces }) => produces);
  // A consumer knows an event that is published elsewhere; the publisher's word counts.
  const consumed = services.flatMap(({ consumes }) => consumes.flatMap(({ events }) => events));
  const events = [...new Map([...consumed, ...produced].map((event) => [nameOf(event), event])).values()];
  for (const event of events) {
    const latest = Math.max(
      ...events.filter(({ type }) => type === event.type).map(({ version }) => version),
    );
    const home = folderOf(event, latest);
    files.set(`${home}/index.mdx`, eventPage(event, ownersOf(event, services)));
    files.set(`${home}/schema.json`, json(withDialect(event.schema)));
    if (event.example !== undefined) files.set(`${home}/example.json`, json(event.example));
  }
  for (const [event] of bySubject(events).values())
    if (event !== undefined)
      files.set(`channels/${channelIdOf(event)}/index.mdx`, channelPage(event, services));
  return files;
}

function folderOf({ type, version }: CatalogEvent, latest: number): string {
  const folder = `events/${plainName(type)}`;
  return version === latest ? folder : `${folder}/versioned/${versionOf(version)}`;
}

/** EventCatalog compares versions as semantic ones. */
function versionOf(version: number): string {
  return `${version}.0.0`;
}

function servicePage({
  name,
  version,
  description = '',
  owners,
  produces,
  consumes,
  streams,
}: CatalogService): string {
  const front = {
    id: name,
    name,
    version,
    summary: firstLine(description) || `${name}, version ${version}`,
    ...(owners.length === 0 ? {} : { owners }),
    sends: produces.map((event) => ({ ...reference(event), to: [{ id: channelIdOf(event) }] })),
    receives: consumes.flatMap(({ events }) =>
      events.map((event) => ({ ...reference(event), from: [{ id: channelIdOf(event) }] })),
    ),
  };
  const body = [
    bodyOf(description),
    '<NodeGraph />',
    ...(streams.length === 0 ? [] : ['## Streams', ...streams.map((stream) => fenced(json(stream)))]),
    ...(consumes.length === 0
      ? []
      : [
          '## Durable consumers',
          table(
            ['durable', 'stream', 'events'],
            consumes.map(({ durable, stream, events }) => [durable, stream, events.map(nameOf).join(', ')]),
          ),
        ]),
  ];
  return page(front, body);
}

function reference({ type, version }: CatalogEvent) {
  return { id: type, version: versionOf(version) };
}

/** Whoever publishes it. */
function ownersOf(
  { type }: Pick<CatalogEvent, 'type'>,
  services: readonly CatalogService[],
): readonly string[] {
  return services.find(({ produces }) => produces.some((event) => event.type === type))?.owners ?? [];
}

function eventPage(event: CatalogEvent, owners: readonly string[]): string {
  const { type, version, title = type, description = '', subject, key, stream, example } = event;
  const front = {
    id: type,
    name: title,
    version: versionOf(version),
    summary: firstLine(description) || title,
    ...(owners.length === 0 ? {} : { owners }),
    schemaPath: 'schema.json',
    channels: [{ id: channelIdOf(event), version: '1.0.0' }],
  };
  const facts = [
    ['subject', code(subject)],
    ['header `Postcommit-Type`', code(type)],
    ['header `Event-Version`', code(String(version))],
    ['key', key === null ? 'none' : key === COMPUTED ? 'computed from the payload' : code(key)],
    ...(stream === undefined ? [] : [['stream', code(stream)]]),
  ];
  return page(front, [
    bodyOf(description),
    table(['', ''], facts),
    '<NodeGraph />',
    '## Schema',
    '<SchemaViewer file="schema.json" />',
    ...(example === undefined ? [] : ['## Example', fenced(json(example))]),
  ]);
}

function channelPage(event: CatalogEvent, services: readonly CatalogService[]): string {
  const { subject, parameters, stream } = event;
  const declared = services.flatMap(({ streams }) => streams).find(({ name }) => name === stream);
  const owners = ownersOf(event, services);
  const front = {
    id: channelIdOf(event),
    name: subject,
    version: '1.0.0',
    summary: `The NATS subject ${subject}`,
    address: subject,
    protocols: ['nats'],
    ...(owners.length === 0 ? {} : { owners }),
    ...(parameters.length === 0
      ? {}
      : {
          parameters: Object.fromEntries(
            parameters.map((parameter) => {
              const { name, property } = parameter;
              const values = valuesOf(event, parameter);
              const description = property ? `${name} of the payload` : 'computed from the payload';
              return [name, { description, ...(values === undefined ? {} : { enum: values }) }];
            }),
          ),
        }),
  };
  return page(front, [
    '<ChannelInformation />',
    ...(declared === undefined ? [] : ['## Stream', fenced(json(declared))]),
  ]);
}

/** YAML takes JSON as it is, so nothing in a text can end the front matter or mean something else. */
function page(front: Readonly<Record<string, unknown>>, body: readonly string[]): string {
  const lines = Object.entries(front).map(([name, value]) => `${name}: ${JSON.stringify(value)}`);
  return `---\n${lines.join('\n')}\n---\n\n${body.filter(Boolean).join('\n\n')}\n`;
}

/** The first line is the summary, which is shown above: alone it need not be said again. */
function bodyOf(description: string): string {
  return description.trim().includes('\n') ? markdown(description) : '';
}

/** Outside code, braces and angle brackets of MDX are JavaScript and components: here they are text. */
function markdown(text: string): string {
  const pieces = text.trim().split(/(```[\s\S]*?```|`[^`\n]*`)/);
  return pieces.map((piece, i) => (i % 2 === 0 ? piece.replace(/[{}<]/g, '\\$&') : piece)).join('');
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** Braces in the text of a page would be JavaScript. */
function code(text: string): string {
  return `\`${text}\``;
}

function fenced(text: string): string {
  return `\`\`\`json\n${text.trimEnd()}\n\`\`\``;
}

function firstLine(text: string): string {
  return text.trim().split('\n')[0] ?? '';
}

function withDialect(schema: JsonSchema): JsonSchema {
  return { $schema: 'http://json-schema.org/draft-07/schema#', ...schema };
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
