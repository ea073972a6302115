/** node.k8s.io/v1 RuntimeClass: a way of running pods. https://kubernetes.io/docs/concepts/containers/runtime-class/ */
import { duplicate, invalid, type FieldError, type Path } from '../../machinery/field.ts'
import { isDNS1123Label } from '../../machinery/names.ts'
import { list, map, obj, opt, quantity, req, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { deprecatedLabel } from '../core/nodelabels.ts'
import { validateResources } from '../core/podspec/resourcevalidation.ts'
import { toleration } from '../core/podspec/scheduling.ts'
import { validateTolerations } from '../core/podspec/schedulingvalidation.ts'
import { runtimeClasses } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { validateImmutable, validateLabels } from '../meta/validation.ts'
import { resource } from '../resource.ts'

const runtimeClassSchema = obj('io.k8s.api.node.v1.RuntimeClass', 'A way of running pods.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  handler: req(2, str(), { doc: 'The configuration of the container runtime that is used; cannot change.', default: '' }),
  overhead: opt(3, overhead, { doc: 'What a pod costs beside its containers.' }),
  scheduling: opt(4, scheduling, { doc: 'Nodes that have the runtime.' }),
}))
export type RuntimeClass = Stored<Infer<typeof runtimeClassSchema>>
const overhead = obj('io.k8s.api.node.v1.Overhead', 'What a pod costs beside its containers.', () => ({
  podFixed: opt(1, map(quantity()), { doc: 'Amounts, by resource.' }),
}))
export type Overhead = Infer<typeof overhead>
const scheduling = obj('io.k8s.api.node.v1.Scheduling', 'Nodes that have a runtime.', () => ({
  nodeSelector: opt(1, map(str()), { doc: 'Labels of the nodes; pods get them as well.', mapType: 'atomic' }),
  tolerations: opt(2, list(toleration), { doc: 'Tolerations that pods get.', listType: 'atomic' }),
}))
export type Scheduling = Infer<typeof scheduling>

export const runtimeClass = resource<RuntimeClass>({
  ...runtimeClasses,
  schema: runtimeClassSchema,
  singular: 'runtimeclass',
  allowCreateOnUpdate: true,
  allowUnconditionalUpdate: false,
  columns: [nameColumn, { name: 'Handler', type: 'string', doc: 'The configuration of the runtime', cell: c => c.handler }, ageColumn],
  validate: (c, at) => [
    ...isDNS1123Label(c.handler ?? '').map(m => invalid(at.child('handler'), c.handler ?? '', m)),
    ...(c.overhead ? validateResources({ limits: c.overhead.podFixed }, new Set(), at.child('overhead')) : []),
    ...(c.scheduling ? validateScheduling(c.scheduling, at.child('scheduling')) : []),
  ],
  validateUpdate: (c, old, at) => validateImmutable(c.handler, old.handler, at.child('handler')),
  warnings: c =>
    Object.keys(c.scheduling?.nodeSelector ?? {}).flatMap(label => {
      const said = deprecatedLabel(label)
      return said === undefined ? [] : [`scheduling.nodeSelector: ${label} is ${said}`]
    }),
})

/** Server-side apply tells tolerations apart by their fields, so that none may be there twice. */
function validateScheduling({ nodeSelector, tolerations = [] }: Scheduling, at: Path): FieldError[] {
  const here = at.child('tolerations')
  const errors = [...validateLabels(nodeSelector, at.child('nodeSelector')), ...validateTolerations(tolerations, here.child('tolerations'))]
  const seen = new Set<string>()
  tolerations.forEach((t, i) => {
    const key = JSON.stringify([t.key, t.operator, t.value, t.effect])
    if (seen.has(key)) errors.push(duplicate(here.index(i), t))
    seen.add(key)
  })
  return errors
}
