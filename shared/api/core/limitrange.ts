/**
 * core/v1 LimitRange: bounds and defaults of what pods and claims of a namespace ask for.
 * https://kubernetes.io/docs/concepts/policy/limit-range/
 */
import { randomUUID } from 'node:crypto'
import { list, map, obj, opt, quantity, req, str, type Infer } from '../../machinery/schema.ts'
import { nameColumn } from '../columns.ts'
import { limitRanges } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { validateLimitRange } from './limitrangevalidation.ts'

const limitRangeItem = obj('io.k8s.api.core.v1.LimitRangeItem', 'Bounds and defaults of one kind of thing.', () => ({
  type: req(1, str(), { doc: 'What is limited: Pod, Container or PersistentVolumeClaim.' }),
  max: opt(2, map(quantity()), { doc: 'The most that may be asked for, by resource.' }),
  min: opt(3, map(quantity()), { doc: 'The least that must be asked for, by resource.' }),
  default: opt(4, map(quantity()), { doc: 'Limits of containers that have none, by resource.' }),
  defaultRequest: opt(5, map(quantity()), { doc: 'Requests of containers that have none, by resource.' }),
  maxLimitRequestRatio: opt(6, map(quantity()), { doc: 'How many times its request a limit may be, by resource.' }),
}))
export type LimitRangeItem = Infer<typeof limitRangeItem>

const limitRangeSpec = obj('io.k8s.api.core.v1.LimitRangeSpec', 'The limits of a namespace.', () => ({
  limits: req(1, list(limitRangeItem), { doc: 'Each for one type.' }),
}))

const limitRangeSchema = obj(
  'io.k8s.api.core.v1.LimitRange',
  'Bounds and defaults of the resources that things in a namespace use.',
  () => ({
    ...typeMeta(),
    metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
    spec: opt(2, limitRangeSpec, { doc: 'The limits.', default: {} }),
  }),
)
export type LimitRange = Stored<Infer<typeof limitRangeSchema>>

/** Of containers: a limit is that of `max`, a request that of the limit, then that of `min`. */
function defaults(l: LimitRange): void {
  for (const item of l.spec.limits ?? []) {
    if (item.type !== 'Container') continue
    item.default = { ...item.max, ...item.default }
    item.defaultRequest = { ...item.min, ...item.default, ...item.defaultRequest }
  }
}

export const limitRange = resource<LimitRange>({
  ...limitRanges,
  schema: limitRangeSchema,
  singular: 'limitrange',
  shortNames: ['limits'],
  allowCreateOnUpdate: true,
  // Upstream has no printer for it: what is left is its default for such kinds.
  columns: [nameColumn, { name: 'Created At', type: 'date', doc: 'When it was created.', cell: l => l.metadata.creationTimestamp ?? '' }],
  defaults,
  prepareForCreate: l => {
    if (!l.metadata.name && !l.metadata.generateName) l.metadata.name = randomUUID()
  },
  validate: (l, at) => validateLimitRange(l, at),
})
