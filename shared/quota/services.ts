/** What Services use of quotas (pkg/quota/v1/evaluator/core/services.go). */
import type { Service } from '../api/core/service.ts'
import type { Evaluator } from './evaluator.ts'

const names = ['count/services', 'services', 'services.nodeports', 'services.loadbalancers']

/** Ports of a node that the Service takes, or will. */
function nodePorts({ spec }: Service): number {
  const ports = spec.ports ?? []
  if (spec.type === 'NodePort') return ports.length
  if (spec.type !== 'LoadBalancer') return 0
  return spec.allocateLoadBalancerNodePorts === false ? ports.filter(p => (p.nodePort ?? 0) !== 0).length : ports.length
}

export const services: Evaluator<Service> = {
  kind: { group: '', plural: 'services' },
  handles: ({ operation, subresource }) => subresource === '' && (operation === 'CREATE' || operation === 'UPDATE'),
  matching: asked => asked.filter(name => names.includes(name)),
  usage: service => ({
    'count/services': '1',
    services: '1',
    'services.nodeports': String(nodePorts(service)),
    'services.loadbalancers': service.spec.type === 'LoadBalancer' ? '1' : '0',
  }),
  releases: (now, before) => now.spec.type !== before.spec.type || nodePorts(now) < nodePorts(before),
}
