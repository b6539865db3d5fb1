import { type Command, InvalidArgumentError, Option } from 'commander';
import { loadBrokerConfig } from '../daemon/config.ts';
import type { SettingKey } from '../daemon/settings.ts';
import { watchStopSignals } from '../daemon/stop-signals.ts';
import {
  type BrokerLink,
  type ConsumedEvent,
  checkSubjectPattern,
  connectBroker,
} from '../jetstream/index.ts';
import { aborted } from '../lifecycle/abort.ts';
import { readStream } from '../messaging/read-stream.ts';
import { silentLogger } from '../telemetry/logger.ts';
import { type CliContext, printLine } from './context.ts';
import { durationOption } from './duration-option.ts';
import { EXIT_CODES_HELP } from './exit-codes.ts';
import { LOOK_SETTINGS } from './look.ts';
import { addSettingOptions, configSources } from './setting-options.ts';

interface Flags {
  readonly subject?: readonly string[];
  readonly since?: number;
  readonly limit?: number;
  readonly payload?: true;
  readonly json?: true;
}

export function registerTail(program: Command, context: CliContext): void {
  const command = program
    .command('tail')
    .summary('events as they are stored, live')
    .description(
      'Prints what the streams of the relay store from now on, one line each, by ephemeral consumers that disturb no other. Payloads are not shown unless asked for.',
    )
    .addOption(
      new Option('--subject <pattern>', 'only these; * is one token, > the rest; may be repeated').argParser(
        subjectPattern,
      ),
    )
    .addOption(
      new Option('--since <duration>', 'begin with what was stored so long ago').argParser(durationOption),
    )
    .addOption(new Option('--limit <events>', 'end after so many').argParser(wholeNumber))
    .option('--payload', 'with the payload, as text')
    .option('--json', 'one JSON object a line')
    .addHelpText('after', EXAMPLES + EXIT_CODES_HELP)
    .action(() => tail(command, context));
  addSettingOptions(command, TAIL_SETTINGS);
}

/** It needs no database. */
const TAIL_SETTINGS: readonly SettingKey[] = LOOK_SETTINGS.filter((key) => key !== 'databaseUrl');

const EXAMPLES = `
Ends with SIGINT (Ctrl-C).

Examples:
  postcommit tail
  postcommit tail --subject 'events.ng.>' --since 10m
  postcommit tail --subject 'events.*.patient.7' --payload --json | jq .payload
`;

async function tail(command: Command, context: CliContext): Promise<void> {
  const flags = command.opts<Flags>();
  const config = loadBrokerConfig(configSources(command, context));
  const signals = watchStopSignals();
  const link = await connectBroker(config.natsSettings, { logger: silentLogger() });
  try {
    const enough = new AbortController();
    let left = flags.limit ?? Number.POSITIVE_INFINITY;
    const print = (event: ConsumedEvent) => {
      if (left <= 0) return;
      printLine(context.stdout, lineOf(event, flags));
      if (--left <= 0) enough.abort();
    };
    const ended = aborted(AbortSignal.any([signals.requested, enough.signal]));
    const reading = config.lanes.map(({ stream }) => follow(link, { stream, flags, print }));
    await Promise.race([ended, Promise.all(reading)]);
  } finally {
    await link.close();
    signals.release();
  }
}

async function follow(
  link: BrokerLink,
  { stream, flags, print }: { stream: string; flags: Flags; print: (event: ConsumedEvent) => void },
): Promise<void> {
  const from = flags.since === undefined ? 'new' : { fromTime: new Date(Date.now() - flags.since) };
  const options = { stream, subjects: flags.subject ?? [], from, until: 'never' } as const;
  for await (const event of readStream(link, options)) print(event);
}

function lineOf(event: ConsumedEvent, flags: Flags): string {
  const { time, stream, sequence, subject, key, type, id, position, payload } = event;
  if (flags.json)
    return JSON.stringify({
      time: time.toISOString(),
      stream,
      sequence,
      subject,
      key,
      type,
      eventId: id,
      position,
      bytes: payload.length,
      ...(flags.payload ? { payload: Buffer.from(payload).toString() } : {}),
    });
  const parts = [
    time.toISOString(),
    `${stream}/${sequence}`,
    subject,
    key === null ? '' : `key=${key}`,
    type === null ? '' : `type=${type}`,
    `id=${id}`,
    flags.payload ? oneLine(Buffer.from(payload).toString()) : '',
  ];
  return parts.filter((part) => part !== '').join('  ');
}

/** Whatever it holds, it is one line, and moves no cursor. */
function oneLine(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (character) => JSON.stringify(character).slice(1, -1));
}

function subjectPattern(value: string, before: readonly string[] = []): readonly string[] {
  const fault = checkSubjectPattern(value);
  if (fault !== undefined) throw new InvalidArgumentError(`It is no subject: ${fault}.`);
  return [...before, value];
}

function wholeNumber(value: string): number {
  if (!/^[1-9]\d{0,14}$/.test(value)) throw new InvalidArgumentError('Expected a whole number from 1.');
  return Number(value);
}
