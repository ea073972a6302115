/** core/v1 Event: something that happened to an object. Also served as events.k8s.io/v1. */
import { invalid, required, type FieldError, type Path } from '../../machinery/field.ts'
import { isDNS1123Subdomain, isQualifiedName, nameIsPathSegment } from '../../machinery/names.ts'
import { int32, microTime, obj, opt, req, str, time, type Infer } from '../../machinery/schema.ts'
import { age } from '../../machinery/time.ts'
import { eventV1 } from '../events/event.ts'
import { events } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { eventSource } from './eventsource.ts'
import { objectReference } from './objectreference.ts'

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

const firstSeen = (e: Event): string => age(e.firstTimestamp ?? e.eventTime)
const lastSeen = (e: Event): string => (e.series ? age(e.series.lastObservedTime) : e.lastTimestamp ? age(e.lastTimestamp) : firstSeen(e))
const source = (e: Event): string =>
  [e.source?.component || e.reportingComponent || '', e.source?.host || e.reportingInstance].filter((s, i) => i === 0 || s).join(', ')

export const event = resource<Event>({
  ...events,
  schema: eventSchema,
  singular: 'event',
  shortNames: ['ev'],
  ttlSeconds: 3600,
  maxObjects: 50_000,
  deletion: { withoutDependents: true },
  indexed: ['involvedObject.uid'],
  allowCreateOnUpdate: true,
  versions: [{ version: 'v1', schema: eventSchema }, eventV1],
  columns: [
    { name: 'Last Seen', type: 'string', doc: 'When it last happened', cell: lastSeen },
    { name: 'Type', type: 'string', doc: 'Normal or Warning', cell: e => e.type ?? '' },
    { name: 'Reason', type: 'string', doc: 'What happened, one word', cell: e => e.reason ?? '' },
    {
      name: 'Object',
      type: 'string',
      doc: 'What it happened to',
      cell: e => [(e.involvedObject.kind ?? '').toLowerCase(), e.involvedObject.name].filter(Boolean).join('/'),
    },
    { name: 'Subobject', type: 'string', wide: true, doc: 'The part of the object', cell: e => e.involvedObject.fieldPath ?? '' },
    { name: 'Source', type: 'string', wide: true, doc: 'Who saw it', cell: source },
    { name: 'Message', type: 'string', doc: 'What happened', cell: e => (e.message ?? '').trim() },
    { name: 'First Seen', type: 'string', wide: true, doc: 'When it first happened', cell: firstSeen },
    {
      name: 'Count',
      type: 'string',
      wide: true,
      doc: 'How often it happened',
      cell: e => (e.series ? (e.series.count ?? 0) : e.count || 1),
    },
    { name: 'Name', type: 'string', format: 'name', wide: true, doc: 'Name of the event', cell: e => e.metadata.name ?? '' },
  ],
  fields: {
    'involvedObject.kind': e => e.involvedObject.kind ?? '',
    'involvedObject.namespace': e => e.involvedObject.namespace ?? '',
    'involvedObject.name': e => e.involvedObject.name ?? '',
    'involvedObject.uid': e => e.involvedObject.uid ?? '',
    'involvedObject.apiVersion': e => e.involvedObject.apiVersion ?? '',
    'involvedObject.resourceVersion': e => e.involvedObject.resourceVersion ?? '',
    'involvedObject.fieldPath': e => e.involvedObject.fieldPath ?? '',
    reason: e => e.reason ?? '',
    reportingComponent: e => e.reportingComponent ?? '',
    source: e => e.source?.component || (e.reportingComponent ?? ''),
    type: e => e.type ?? '',
  },
  validateName: nameIsPathSegment,
  validate: validateEvent,
})

/** What core/v1 asks of an event; reporters that set eventTime have to say more. */
function validateEvent(e: Event, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const namespace = e.metadata.namespace ?? ''
  const about = e.involvedObject.namespace ?? ''
  const mismatch = invalid(at.child('involvedObject', 'namespace'), about, 'does not match event.namespace')
  if (!e.eventTime) {
    if (about === '' ? namespace !== '' && namespace !== 'default' : namespace !== about) errors.push(mismatch)
  } else {
    if (about === '' && namespace !== 'default' && namespace !== 'kube-system') errors.push(mismatch)
    if (!e.reportingComponent) errors.push(required(at.child('reportingComponent')))
    errors.push(
      ...isQualifiedName(e.reportingComponent ?? '').map(m => invalid(at.child('reportingComponent'), e.reportingComponent ?? '', m)),
    )
    for (const name of ['reportingInstance', 'action', 'reason'] as const) errors.push(...validateText(e[name], 128, true, at.child(name)))
    errors.push(...validateText(e.message, 1024, false, at.child('message')))
  }
  return [...errors, ...isDNS1123Subdomain(namespace).map(m => invalid(at.child('namespace'), namespace, m))]
}
function validateText(text: string | undefined, max: number, needed: boolean, at: Path): FieldError[] {
  if (!text) return needed ? [required(at)] : []
  return Buffer.byteLength(text) > max ? [invalid(at, '', `can have at most ${max} characters`)] : []
}
