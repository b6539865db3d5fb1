export { type AccountLookup, type AccountUsage, lookUpAccount } from './account.ts';
export { type BorrowedLink, borrowLink, type NatsTarget } from './borrowed-link.ts';
export {
  type CloudEvent,
  type CloudEventHeaders,
  type CloudEventsMode,
  cloudEventOf,
  createCloudEventHeaders,
} from './cloud-events.ts';
export { type BrokerLink, type ConnectOptions, connectBroker, linkTo } from './connection.ts';
export {
  CONSUMER_NOT_FOUND,
  type ConsumerDefinition,
  type DeliverPolicy,
  filtersOf,
  rawConsumerConfig,
} from './consumer-config.ts';
export { type DurablesAnswer, type DurableView, listDurables } from './durables.ts';
export {
  HEADER,
  type HeaderOptions,
  headerBlock,
  headerFault,
  markerHeaderBlock,
} from './headers.ts';
export { newInbox } from './inbox.ts';
export { isJetStreamName } from './names.ts';
export { classifyReply, type Failure, type Outcome, type Reply } from './outcome.ts';
export {
  ACK_TIMEOUT_MS,
  createPublisher,
  type OutgoingMessage,
  type Publisher,
  type PublisherOptions,
} from './publisher.ts';
export { headerValue, type ReadBack, type ReadBackOptions, readBack } from './read-back.ts';
export {
  type ConsumedEvent,
  contentOf,
  isMarker,
  type MessageContent,
  type SourceMessage,
  toConsumedEvent,
} from './received-event.ts';
export { type NatsSettings, type NatsSettingsSource, parseServers, type TlsSettings } from './settings.ts';
export { type StoredMessage, storedMessage } from './stored-message.ts';
export {
  createStream,
  deleteStream,
  lookUpStream,
  type StreamCreation,
  type StreamDefinition,
  type StreamLookup,
  type StreamState,
  type Unfitness,
  unfitness,
  unfitnessesOf,
} from './stream.ts';
export { type Follower, lookUpStreamFacts, type StreamFacts } from './stream-facts.ts';
export { streamsCapturing } from './stream-names.ts';
export {
  checkSubjectPattern,
  createSubjectFilter,
  patternCovers,
  patternsCover,
  subjectMatches,
} from './subjects.ts';
export { subjectOf } from './wire.ts';
