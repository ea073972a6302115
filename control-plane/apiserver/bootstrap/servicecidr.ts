/** The ServiceCIDR `kubernetes`, of `--service-cluster-ip-range` (pkg/controlplane/controller/defaultservicecidr). */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { ServiceCIDR } from '#shared/api/networking/servicecidr.ts'
import { defaultServiceCIDR } from '#shared/api/networking/serviceaddresses.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { serviceCidrs } from '../serviceips/servicecidrs.ts'
import { ensure } from './ensure.ts'
import type { BootstrapParts } from './parts.ts'

/** One that says something else stays as it is: its addresses may be in use. */
export async function makeServiceCIDR({ store, endpoints, options }: BootstrapParts): Promise<void> {
  if (store.registry.get(serviceCidrs, '', defaultServiceCIDR)) return
  const range: Partial<ServiceCIDR> & KubeObject = {
    kind: 'ServiceCIDR',
    apiVersion: 'networking.k8s.io/v1',
    metadata: { name: defaultServiceCIDR },
    spec: { cidrs: options.serviceClusterIpRange.split(',') },
    status: {
      conditions: [
        {
          type: 'Ready',
          status: 'True',
          reason: '',
          message: 'Kubernetes default Service CIDR is ready',
          lastTransitionTime: formatTime(),
        },
      ],
    },
  }
  await ensure(store, endpoints.get('networking.k8s.io/v1/servicecidrs')!, '', range)
  // Another API server may have been first: addresses can be taken when it is seen here.
  await store.registry.fresh()
}

/** What is wrong when the flag and the object say different things; undefined when nothing is. */
export function inconsistent({ store, options }: BootstrapParts): string | undefined {
  const stored = store.registry.get(serviceCidrs, '', defaultServiceCIDR)?.object as ServiceCIDR | undefined
  const cidrs = stored?.spec.cidrs ?? []
  if (!stored || cidrs.join() === options.serviceClusterIpRange) return undefined
  return `the default ServiceCIDR [${cidrs.join(' ')}] does not match --service-cluster-ip-range ${options.serviceClusterIpRange}`
}
