/** storage.k8s.io/v1 CSIDriver. https://kubernetes-csi.github.io/docs/csi-driver-object.html */
import { duplicate, invalid, notSupported, type FieldError, type Path } from '../../machinery/field.ts'
import { bool, int64, list, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { csiDrivers } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { semanticEqual, validateImmutable } from '../meta/validation.ts'
import { resource } from '../resource.ts'

const csiDriverSchema = obj('io.k8s.api.storage.v1.CSIDriver', 'A CSI driver of the cluster, and what it can and needs.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: req(2, csiDriverSpec, { doc: 'What it can and needs.', default: {} }),
}))
export type CSIDriver = Stored<Infer<typeof csiDriverSchema>>
const csiDriverSpec = obj('io.k8s.api.storage.v1.CSIDriverSpec', 'What a CSI driver can and needs.', () => ({
  attachRequired: opt(1, bool(), { doc: 'Whether volumes are attached before they are mounted; cannot change.' }),
  podInfoOnMount: opt(2, bool(), { doc: 'Whether it is told about the pod when it mounts.' }),
  volumeLifecycleModes: opt(3, list(str()), { doc: 'Persistent, Ephemeral or both; cannot change.', listType: 'set' }),
  storageCapacity: opt(4, bool(), { doc: 'Whether the scheduler heeds the capacity that it publishes.' }),
  fsGroupPolicy: opt(5, str(), {
    doc: 'Whether ownership of its volumes is changed for fsGroup: ReadWriteOnceWithFSType, File or None.',
    pointer: true,
  }),
  tokenRequests: opt(6, list(tokenRequest), { doc: 'Service account tokens that it is given when it mounts.', listType: 'atomic' }),
  requiresRepublish: opt(7, bool(), { doc: 'Whether mounts are repeated from time to time, with new tokens.' }),
  seLinuxMount: opt(8, bool(), { doc: 'Whether it can mount with an SELinux context.' }),
  nodeAllocatableUpdatePeriodSeconds: opt(9, int64(), { doc: 'How often the limits of nodes are asked for again; at least 10.' }),
  serviceAccountTokenInSecrets: opt(10, bool(), { doc: "Whether tokens come as secrets and not in the volume's context." }),
}))
export type CSIDriverSpec = Infer<typeof csiDriverSpec>
const tokenRequest = obj('io.k8s.api.storage.v1.TokenRequest', 'A service account token for a driver.', () => ({
  audience: req(1, str(), { doc: 'Whom the token is for.', default: '' }),
  expirationSeconds: opt(2, int64(), { doc: 'How long it lives.' }),
}))
export type TokenRequest = Infer<typeof tokenRequest>

/** Fields that may change, and then move metadata.generation. */
const counted = [
  'tokenRequests',
  'requiresRepublish',
  'seLinuxMount',
  'nodeAllocatableUpdatePeriodSeconds',
  'serviceAccountTokenInSecrets',
] as const

export const csiDriver = resource<CSIDriver>({
  ...csiDrivers,
  schema: csiDriverSchema,
  singular: 'csidriver',
  allowUnconditionalUpdate: false,
  columns: [
    nameColumn,
    { name: 'AttachRequired', type: 'boolean', doc: 'Whether volumes are attached', cell: d => d.spec.attachRequired ?? true },
    { name: 'PodInfoOnMount', type: 'boolean', doc: 'Whether it is told of pods', cell: d => d.spec.podInfoOnMount ?? false },
    { name: 'StorageCapacity', type: 'boolean', doc: 'Whether it publishes its capacity', cell: d => d.spec.storageCapacity ?? false },
    {
      name: 'TokenRequests',
      type: 'string',
      doc: 'Audiences of the tokens that it gets',
      cell: d => d.spec.tokenRequests?.map(t => t.audience).join(',') ?? '<unset>',
    },
    { name: 'RequiresRepublish', type: 'boolean', doc: 'Whether mounts are repeated', cell: d => d.spec.requiresRepublish ?? false },
    { name: 'Modes', type: 'string', doc: 'Persistent, Ephemeral', cell: d => d.spec.volumeLifecycleModes?.join(',') || '<none>' },
    ageColumn,
  ],
  defaults: ({ spec }) => {
    spec.attachRequired ??= true
    spec.podInfoOnMount ??= false
    spec.storageCapacity ??= false
    spec.fsGroupPolicy ??= 'ReadWriteOnceWithFSType'
    if (!spec.volumeLifecycleModes?.length) spec.volumeLifecycleModes = ['Persistent']
    spec.requiresRepublish ??= false
    spec.seLinuxMount ??= false
  },
  prepareForUpdate: (d, old) => {
    if (counted.some(field => !semanticEqual(d.spec[field], old.spec[field]))) d.metadata.generation = (old.metadata.generation ?? 0) + 1
  },
  validate: (d, at) => validateSpec(d.spec, at.child('spec')),
  validateUpdate: (d, old, at) => [
    ...validateImmutable(d.spec.attachRequired, old.spec.attachRequired, at.child('spec', 'attachedRequired')),
    ...validateImmutable(d.spec.volumeLifecycleModes, old.spec.volumeLifecycleModes, at.child('spec', 'volumeLifecycleModes')),
  ],
})

const fsGroupPolicies = ['File', 'None', 'ReadWriteOnceWithFSType']
const lifecycleModes = ['Persistent', 'Ephemeral']

function validateSpec(spec: CSIDriverSpec, at: Path): FieldError[] {
  const errors: FieldError[] = []
  if (spec.fsGroupPolicy !== undefined && !fsGroupPolicies.includes(spec.fsGroupPolicy))
    errors.push(notSupported(at.child('fsGroupPolicy'), spec.fsGroupPolicy, fsGroupPolicies))
  errors.push(...validateTokenRequests(spec.tokenRequests ?? [], at.child('tokenRequests')))
  for (const mode of spec.volumeLifecycleModes ?? [])
    if (!lifecycleModes.includes(mode)) errors.push(notSupported(at.child('volumeLifecycleModes'), mode, lifecycleModes))
  const period = spec.nodeAllocatableUpdatePeriodSeconds
  if (period !== undefined && period < 10)
    errors.push(invalid(at.child('nodeAllocatableUpdatePeriodSeconds'), period, 'must be greater than or equal to 10 seconds'))
  if (spec.serviceAccountTokenInSecrets !== undefined && !spec.tokenRequests?.length)
    errors.push(
      invalid(at.child('serviceAccountTokenInSecrets'), spec.serviceAccountTokenInSecrets, 'must not be set when tokenRequests is empty'),
    )
  return errors
}

function validateTokenRequests(requests: readonly TokenRequest[], at: Path): FieldError[] {
  const audiences = new Set<string>()
  return requests.flatMap(({ audience, expirationSeconds: seconds }, i) => {
    const here = at.index(i)
    if (audiences.has(audience)) return [duplicate(here.child('audience'), audience)]
    audiences.add(audience)
    const wrong = (why: string): FieldError[] => [invalid(here.child('expirationSeconds'), seconds, why)]
    if (seconds !== undefined && seconds < 600) return wrong('may not specify a duration less than 10 minutes')
    return seconds !== undefined && seconds > 2 ** 32 ? wrong('may not specify a duration larger than 2^32 seconds') : []
  })
}
