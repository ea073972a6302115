/** core/v1 Event: something that happened to an object. Also served as events.k8s.io/v1. */
import { int32, microTime, obj, opt, req, str, time, type Infer } from '../../machinery/schema.ts'
import { events } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { objectReference } from './objectreference.ts'

export const eventSource = obj('io.k8s.api.core.v1.EventSource', 'Who saw the event.', () => ({
  component: opt(1, str(), { doc: 'The component.' }),
  host: opt(2, str(), { doc: 'The node it runs on.' }),
}))
const eventSeries = obj('io.k8s.api.core.v1.EventSeries', 'An event that happens again and again.', () => ({
  count: opt(1, int32(), { doc: 'How often, so far.', pointer: false }),
  lastObservedTime: opt(2, microTime(), { doc: 'When it last happened.' }),
}))

const eventSchema = obj('io.k8s.api.core.v1.Event', 'Something that happened to an object; kept for a while only.', () => ({
  ...typeMeta(),
  metadata: req(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  involvedObject: req(2, objectReference, { doc: 'What it happened to.', default: {} }),
  reason: opt(3, str(), { doc: 'What happened, one word.' }),
  message: opt(4, str(), { doc: 'What happened, for people.' }),
  source: opt(5, eventSource, { doc: 'Who saw it.', default: {} }),
  firstTimestamp: opt(6, time(), { doc: 'When it first happened.' }),
  lastTimestamp: opt(7, time(), { doc: 'When it last happened.' }),
  count: opt(8, int32(), { doc: 'How often it happened.', pointer: false }),
  type: opt(9, str(), { doc: 'Normal or Warning.' }),
  eventTime: opt(10, microTime(), { doc: 'When it first happened, of newer reporters.' }),
  series: opt(11, eventSeries, { doc: 'How it repeats.' }),
  action: opt(12, str(), { doc: 'What was done about the object.' }),
  related: opt(13, objectReference, { doc: 'A second object in it.' }),
  reportingComponent: opt(14, str(), { doc: 'The controller that reports it.', default: '' }),
  reportingInstance: opt(15, str(), { doc: 'Which instance of the controller.', default: '' }),
}))
export type Event = Stored<Infer<typeof eventSchema>>

export const event = resource<Event>({
  ...events,
  schema: eventSchema,
  singular: 'event',
  shortNames: ['ev'],
  ttlSeconds: 3600,
  allowCreateOnUpdate: true,
})
