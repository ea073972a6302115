/** Devices that others use may be looked at only from namespaces that an administrator has labelled so (pkg/registry/resource/utils.go). */
import { resourceClaim, type ResourceClaim } from '#shared/api/resource/resourceclaim.ts'
import { resourceClaimTemplate, type ResourceClaimTemplate } from '#shared/api/resource/resourceclaimtemplate.ts'
import type { DeviceRequest } from '#shared/api/resource/devicerequest.ts'
import { forbidden, Path } from '#shared/machinery/field.ts'
import { invalidObject } from '#shared/machinery/status.ts'
import type { Claim, Hooks } from './objects/hooks.ts'
import type { Registry } from './registry/registry.ts'

const label = 'resource.kubernetes.io/admin-access'
const claim: Claim = { keep: () => Promise.resolve(), release: () => Promise.resolve() }

/** Where the first of them is asked for. */
function inRequests(requests: readonly DeviceRequest[] | undefined): Path | undefined {
  const i = requests?.findIndex(r => r.exactly?.adminAccess) ?? -1
  return i < 0 ? undefined : new Path('spec').child('devices', 'requests').index(i).child('adminAccess')
}
function inResults({ status }: ResourceClaim): Path | undefined {
  const i = status?.allocation?.devices?.results?.findIndex(r => r.adminAccess) ?? -1
  return i < 0 ? undefined : new Path('status').child('allocation', 'devices', 'results').index(i).child('adminAccess')
}

/** `asked` gives the place of what a write asks for anew. */
const hooksOf = <T>(
  registry: Registry,
  { group, kind }: { readonly group: string; readonly kind: string },
  asked: (object: T, old: T | undefined) => Path | undefined,
): Hooks => ({
  async begin(object, old) {
    const at = asked(object as T, old as T | undefined)
    if (at === undefined) return claim
    const { name = '', namespace = '' } = object.metadata
    if (registry.get({ group: '', plural: 'namespaces' }, '', namespace)?.labels?.[label] === 'true') return claim
    const why = `admin access to devices requires the \`${label}: true\` label on the containing namespace`
    throw invalidObject(group, kind, name, [forbidden(at, why)])
  },
  afterDelete: () => {},
})

/** Specs never change; an allocation does not once it is there. */
export const adminAccessHooks = (registry: Registry): readonly (readonly [string, Hooks])[] => [
  [
    'resource.k8s.io/resourceclaims',
    hooksOf<ResourceClaim>(registry, resourceClaim, (object, old) => {
      if (old) return inResults(old) ? undefined : inResults(object)
      return inRequests(object.spec.devices?.requests)
    }),
  ],
  [
    'resource.k8s.io/resourceclaimtemplates',
    hooksOf<ResourceClaimTemplate>(registry, resourceClaimTemplate, (object, old) =>
      old ? undefined : inRequests(object.spec.spec?.devices?.requests),
    ),
  ],
]
