/** What claims of storage use of quotas (pkg/quota/v1/evaluator/core/persistent_volume_claims.go). */
import type { PersistentVolumeClaimSpec } from '../api/core/persistentvolumeclaimspec.ts'
import type { KubeObject } from '../api/meta/objectmeta.ts'
import { compareQuantity, formatQuantity, isIntegerQuantity, parseQuantity, quantityOf, quantityValue } from '../machinery/quantity.ts'
import type { ResourceList } from './amounts.ts'
import type { Evaluator } from './evaluator.ts'
import { matchesValue } from './scopes.ts'

/** Of a claim what counts. */
type Claim = Pick<KubeObject, 'metadata'> & {
  spec?: PersistentVolumeClaimSpec
  status?: {
    allocatedResources?: ResourceList
    currentVolumeAttributesClassName?: string
    modifyVolumeStatus?: { targetVolumeAttributesClassName?: string }
  }
}

const resources = ['persistentvolumeclaims', 'requests.storage']
const inClass = '.storageclass.storage.k8s.io/'
const annotation = 'volume.beta.kubernetes.io/storage-class'
const storageClass = ({ metadata, spec }: Claim): string => metadata.annotations?.[annotation] ?? spec?.storageClassName ?? ''

/** What is asked for, or what a larger request that failed has set aside; in whole bytes. */
function storage({ spec, status }: Claim): string | undefined {
  const asked = spec?.resources?.requests?.['storage']
  const allocated = status?.allocatedResources?.['storage']
  const most = asked !== undefined && allocated !== undefined && compareQuantity(allocated, asked) > 0 ? allocated : asked
  if (most === undefined || isIntegerQuantity(most)) return most
  return formatQuantity(quantityOf(quantityValue(most), parseQuantity(most).format))
}

/** The classes of attributes that a claim has, or shall have. */
const attributesClasses = ({ spec, status }: Claim): string[] =>
  [
    spec?.volumeAttributesClassName,
    status?.currentVolumeAttributesClassName,
    status?.modifyVolumeStatus?.targetVolumeAttributesClassName,
  ].filter((name): name is string => Boolean(name))

const changes = (now: Claim, before: Claim): boolean =>
  storage(now) !== storage(before) || attributesClasses(now).sort().join() !== attributesClasses(before).sort().join()

export const persistentVolumeClaims: Evaluator<Claim> = {
  kind: { group: '', plural: 'persistentvolumeclaims' },
  handles: ({ operation, subresource, object, old }) =>
    subresource === ''
      ? operation === 'CREATE' || operation === 'UPDATE'
      : subresource === 'status' && object !== undefined && old !== undefined && changes(object as Claim, old as Claim),
  matching: asked =>
    asked.filter(name => name === 'count/persistentvolumeclaims' || resources.some(r => name === r || name.endsWith(`${inClass}${r}`))),
  inScope: (scope, claim) => {
    if (scope.scopeName !== 'VolumeAttributesClass') return false
    const classes = attributesClasses(claim)
    return classes.length === 0 ? matchesValue(scope, '') : classes.some(name => matchesValue(scope, name))
  },
  usage: claim => {
    const amount = storage(claim)
    const used: ResourceList = { persistentvolumeclaims: '1', ...(amount === undefined ? {} : { 'requests.storage': amount }) }
    const name = storageClass(claim)
    const ofClass = name === '' ? {} : Object.fromEntries(Object.entries(used).map(([r, q]) => [`${name}${inClass}${r}`, q]))
    return { 'count/persistentvolumeclaims': '1', ...used, ...ofClass }
  },
  releases: changes,
}
