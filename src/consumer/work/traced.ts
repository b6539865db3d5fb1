import type { ConsumedEvent } from '../../jetstream/index.ts';
import { ATTRIBUTE } from '../../telemetry/messaging-attributes.ts';
import type { ProcessedMessage, ProcessSource } from '../../telemetry/process-spans.ts';
import type { ConsumerSettings } from '../options.ts';

/** What spans say of a consumer. */
export function sourceOf(
  { stream, durable }: Pick<ConsumerSettings, 'stream' | 'durable'>,
  { together }: { readonly together: boolean },
): ProcessSource {
  return {
    name: stream,
    attributes: { [ATTRIBUTE.destination]: stream, [ATTRIBUTE.subscription]: durable },
    batch: together,
  };
}

/** And of an event, without its payload. */
export function toProcessed({
  headers,
  id,
  subject,
  sequence,
  deliveryCount,
}: ConsumedEvent): ProcessedMessage {
  return {
    headers,
    attributes: {
      [ATTRIBUTE.messageId]: id,
      [ATTRIBUTE.subject]: subject,
      [ATTRIBUTE.sequence]: sequence,
      [ATTRIBUTE.deliveryCount]: deliveryCount,
    },
  };
}
