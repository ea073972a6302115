/** events.k8s.io/v1 Event: the newer form of core/v1 Event, of the same stored objects. */
import { int32, microTime, obj, opt, req, str, time, type Infer } from '../../machinery/schema.ts'
import type { Event } from '../core/event.ts'
import { eventSource } from '../core/eventsource.ts'
import { objectReference } from '../core/objectreference.ts'
import { objectMeta, typeMeta, type KubeObject, type Stored } from '../meta/objectmeta.ts'
import { convertEach, type Version } from '../resource.ts'

const eventSeries = obj('io.k8s.api.events.v1.EventSeries', 'An event that happens again and again.', () => ({
  count: req(1, int32(), { doc: 'How often, so far; at least 2.', default: 0 }),
  lastObservedTime: req(2, microTime(), { doc: 'When it last happened.' }),
}))

const eventSchema = obj('io.k8s.api.events.v1.Event', 'Something that happened to an object; kept for a while only.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  eventTime: req(2, microTime(), { doc: 'When it first happened.' }),
  series: opt(3, eventSeries, { doc: 'How it repeats.' }),
  reportingController: opt(4, str(), { doc: 'The controller that reports it, example.com/name.' }),
  reportingInstance: opt(5, str(), { doc: 'Which instance of the controller.' }),
  action: opt(6, str(), { doc: 'What was done about the object.' }),
  reason: opt(7, str(), { doc: 'What happened, one word.' }),
  regarding: opt(8, objectReference, { doc: 'What it happened to.', default: {} }),
  related: opt(9, objectReference, { doc: 'A second object in it.' }),
  note: opt(10, str(), { doc: 'What happened, for people; at most 1 kB.' }),
  type: opt(11, str(), { doc: 'Normal or Warning.' }),
  deprecatedSource: opt(12, eventSource, { doc: 'As core/v1 source.', default: {} }),
  deprecatedFirstTimestamp: opt(13, time(), { doc: 'As core/v1 firstTimestamp.' }),
  deprecatedLastTimestamp: opt(14, time(), { doc: 'As core/v1 lastTimestamp.' }),
  deprecatedCount: opt(15, int32(), { doc: 'As core/v1 count.', pointer: false }),
}))
type EventV1 = Stored<Infer<typeof eventSchema>>

/** Which core/v1 field each renamed field is. */
const renamed: Readonly<Record<string, string>> = {
  reportingController: 'reportingComponent',
  regarding: 'involvedObject',
  note: 'message',
  deprecatedSource: 'source',
  deprecatedFirstTimestamp: 'firstTimestamp',
  deprecatedLastTimestamp: 'lastTimestamp',
  deprecatedCount: 'count',
}
const renamedBack: Readonly<Record<string, string>> = Object.fromEntries(Object.entries(renamed).map(([a, b]) => [b, a]))

const rename = (object: object, names: Readonly<Record<string, string>>, apiVersion: string): Record<string, unknown> => ({
  ...Object.fromEntries(Object.entries(object).map(([k, v]) => [Object.hasOwn(names, k) ? names[k]! : k, v])),
  apiVersion,
})

const regarding =
  (field: keyof Event['involvedObject']) =>
  (e: EventV1): string =>
    e.regarding?.[field] ?? ''

export const eventV1: Version<Event> = {
  group: 'events.k8s.io',
  version: 'v1',
  schema: eventSchema,
  conversion: {
    toHub: convertEach(object => rename(object satisfies KubeObject as EventV1, renamed, 'v1') as unknown as Event),
    fromHub: convertEach(event => rename(event, renamedBack, 'events.k8s.io/v1') as KubeObject),
  },
  fields: {
    'regarding.kind': regarding('kind'),
    'regarding.namespace': regarding('namespace'),
    'regarding.name': regarding('name'),
    'regarding.uid': regarding('uid'),
    'regarding.apiVersion': regarding('apiVersion'),
    'regarding.resourceVersion': regarding('resourceVersion'),
    'regarding.fieldPath': regarding('fieldPath'),
    reason: (e: EventV1) => e.reason ?? '',
    reportingController: (e: EventV1) => e.reportingController ?? '',
    type: (e: EventV1) => e.type ?? '',
  },
}
