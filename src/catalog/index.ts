/** What events there are, who publishes and who consumes them, for people and for machines: documents out of the code. */
export { type AsyncApiDocument, toAsyncApi } from './asyncapi.ts';
export { type Conflict, conflictsAmong } from './check.ts';
export { type BreakingChange, breakingChanges, type ChangeKind } from './compare.ts';
export {
  type ConsumedEvents,
  defineService,
  type ServiceDefinition,
  type ServiceOptions,
} from './define-service.ts';
export { describeService } from './describe.ts';
export { type CatalogFiles, toEventCatalog } from './eventcatalog.ts';
export type { CatalogEvent, CatalogParameter, CatalogService, Consumption, JsonSchema } from './model.ts';
export { readAsyncApi } from './read-asyncapi.ts';
