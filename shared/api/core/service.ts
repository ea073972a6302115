/** core/v1 Service: a stable address for a set of pods. https://kubernetes.io/docs/concepts/services-networking/service/ */
import { invalid } from '../../machinery/field.ts'
import { formatLabels } from '../../machinery/labels.ts'
import { nameIsDNS1035Label } from '../../machinery/names.ts'
import type { Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { services } from '../kinds.ts'
import type { Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { defaultService, dropTypeDependent, normalizeClusterIPs, patchAllocated } from './servicedefaults.ts'
import { serviceSchema } from './serviceschema.ts'
import { validateAddressChanges } from './serviceipvalidation.ts'
import { warningsForService } from './servicewarnings.ts'
import { validateService, validateServiceStatus } from './servicevalidation.ts'

export type Service = Stored<Infer<typeof serviceSchema>>
export type ServiceSpec = Service['spec']
export type ServicePort = NonNullable<ServiceSpec['ports']>[number]

function externalIP(s: Service): string {
  const ips = s.spec.externalIPs ?? []
  switch (s.spec.type) {
    case 'ClusterIP':
    case 'NodePort':
      return ips.join(',') || '<none>'
    case 'LoadBalancer': {
      const own = [...new Set((s.status?.loadBalancer?.ingress ?? []).map(i => i.ip || i.hostname || '').filter(Boolean))].sort()
      return [...own, ...ips].join(',') || '<pending>'
    }
    case 'ExternalName':
      return s.spec.externalName ?? ''
    default:
      return '<unknown>'
  }
}
const ports = (s: Service): string =>
  (s.spec.ports ?? []).map(p => `${p.port}${p.nodePort ? `:${p.nodePort}` : ''}/${p.protocol}`).join(',') || '<none>'

export const service = resource<Service>({
  ...services,
  schema: serviceSchema,
  singular: 'service',
  deletion: { answersWithObject: true },
  shortNames: ['svc'],
  categories: ['all'],
  hasStatus: true,
  allowCreateOnUpdate: true,
  subresources: {
    status: { verbs: ['get', 'patch', 'update'] },
    proxy: { verbs: ['connect'] },
  },
  columns: [
    nameColumn,
    { name: 'Type', type: 'string', doc: 'Who can reach it', cell: s => s.spec.type ?? '' },
    { name: 'Cluster-IP', type: 'string', doc: 'Its virtual address', cell: s => s.spec.clusterIP || '<none>' },
    { name: 'External-IP', type: 'string', doc: 'Where it is reached from outside', cell: externalIP },
    { name: 'Port(s)', type: 'string', doc: 'Its ports, with node ports', cell: ports },
    ageColumn,
    { name: 'Selector', type: 'string', wide: true, doc: 'Labels of its pods', cell: s => formatLabels(s.spec.selector) },
  ],
  fields: { 'spec.clusterIP': s => s.spec.clusterIP ?? '', 'spec.type': s => s.spec.type ?? '' },
  validateName: nameIsDNS1035Label,
  defaults: defaultService,
  prepareForCreate: s => {
    s.status = { loadBalancer: {} }
    normalizeClusterIPs(s.spec, undefined)
  },
  prepareForUpdate: (s, old, ctx) => {
    if (ctx.subresource !== '') return
    patchAllocated(s.spec, old.spec)
    normalizeClusterIPs(s.spec, old.spec)
    dropTypeDependent(s.spec, old.spec)
    // The load balancer is taken down later; nobody needs to see that.
    if (old.spec.type === 'LoadBalancer' && s.spec.type !== 'LoadBalancer') s.status = { ...s.status, loadBalancer: {} }
  },
  warnings: warningsForService,
  validate: (s, at) => validateService(s, at),
  validateUpdate: (s, old, at, ctx) => {
    if (ctx.subresource === 'status') return validateServiceStatus(s, at, old)
    const errors = validateAddressChanges(s.spec, old.spec, at.child('spec'))
    if (s.spec.type === 'LoadBalancer' && old.spec.type === 'LoadBalancer' && s.spec.loadBalancerClass !== old.spec.loadBalancerClass) {
      errors.push(invalid(at.child('spec', 'loadBalancerClass'), s.spec.loadBalancerClass, 'may not change once set'))
    }
    return errors
  },
})
