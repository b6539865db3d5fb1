/**
 * Names of OpenTelemetry's conventions for messaging, as of 1.45. They are written out, since the package that lists them
 * would be loaded by every writer; a test compares the two. The conventions know no NATS: what they leave to each system
 * is under `messaging.nats`.
 */
export const ATTRIBUTE = {
  system: 'messaging.system',
  operationName: 'messaging.operation.name',
  operationType: 'messaging.operation.type',
  destination: 'messaging.destination.name',
  template: 'messaging.destination.template',
  subscription: 'messaging.destination.subscription.name',
  messageId: 'messaging.message.id',
  batchSize: 'messaging.batch.message_count',
  errorType: 'error.type',
  subject: 'messaging.nats.subject',
  sequence: 'messaging.nats.sequence',
  deliveryCount: 'messaging.nats.delivery_count',
} as const;

export const SYSTEM = 'nats';
