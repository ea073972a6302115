/** What claims of devices use of quotas (pkg/quota/v1/evaluator/core/resource_claims.go): devices of each class. */
import type { KubeObject } from '../api/meta/objectmeta.ts'
import type { Evaluator } from './evaluator.ts'

interface Exactly {
  deviceClassName?: string
  allocationMode?: string
  count?: number
}
/** Of a claim what counts. */
type Claim = Pick<KubeObject, 'metadata'> & {
  spec?: { devices?: { requests?: { exactly?: Exactly; firstAvailable?: Exactly[] }[] } }
}

const count = 'count/resourceclaims.resource.k8s.io'
const suffix = '.deviceclass.resource.k8s.io/devices'
/** The most devices that a claim may get: what a request for all of them counts as. */
const maxDevices = 32

const devices = ({ allocationMode, count: n }: Exactly): number => (allocationMode === 'All' ? maxDevices : (n ?? 1))

export const resourceClaims: Evaluator<Claim> = {
  kind: { group: 'resource.k8s.io', plural: 'resourceclaims' },
  handles: ({ operation, subresource }) => subresource === '' && (operation === 'CREATE' || operation === 'UPDATE'),
  matching: asked => asked.filter(name => name === count || name.endsWith(suffix)),
  usage: ({ spec }) => {
    const used = new Map<string, number>()
    const charge = (name: string | undefined, n: number): void => {
      if (name) used.set(`${name}${suffix}`, (used.get(`${name}${suffix}`) ?? 0) + n)
    }
    for (const { exactly, firstAvailable } of spec?.devices?.requests ?? []) {
      if (exactly) charge(exactly.deviceClassName, devices(exactly))
      // Of alternatives one is taken: of each class the most that one asks for.
      const most = new Map<string, number>()
      for (const a of firstAvailable ?? []) most.set(a.deviceClassName ?? '', Math.max(most.get(a.deviceClassName ?? '') ?? 0, devices(a)))
      for (const [name, n] of most) charge(name, n)
    }
    return { [count]: '1', ...Object.fromEntries([...used].map(([name, n]) => [name, String(n)])) }
  },
}
