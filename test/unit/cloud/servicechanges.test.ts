import { expect, test } from 'vitest'
import type { Service } from '#shared/api/core/service.ts'
import { changeOf } from '#control-plane/cloud-controller-manager/servicechanges.ts'

const service = (spec: object = {}): Service =>
  ({ metadata: { name: 'web' }, spec: { type: 'LoadBalancer', ...spec } }) as unknown as Service
const told = (old: object, now: object): string | undefined => {
  const change = changeOf(service(old), service(now), ({ spec }) => spec.type === 'LoadBalancer' && spec.loadBalancerClass === undefined)
  return change && `${change.reason} ${change.message}`
}

test.each<[object, object, string | undefined]>([
  [{ type: 'ClusterIP' }, {}, 'Type ClusterIP -> LoadBalancer'],
  [{}, { type: 'NodePort' }, 'Type LoadBalancer -> NodePort'],
  [{ type: 'ClusterIP' }, { type: 'NodePort' }, undefined],
  [{ loadBalancerClass: 'other' }, { loadBalancerClass: 'other', externalTrafficPolicy: 'Local' }, undefined],
  [{}, { loadBalancerSourceRanges: ['10.0.0.0/8', '1.0.0.0/8'] }, 'LoadBalancerSourceRanges [] -> [10.0.0.0/8 1.0.0.0/8]'],
  [{}, { loadBalancerIP: '1.2.3.4' }, 'LoadbalancerIP  -> 1.2.3.4'],
  [{}, { externalIPs: ['1.2.3.4'] }, 'ExternalIP Count: 0 -> 1'],
  [{ externalIPs: ['1.2.3.4'] }, { externalIPs: ['1.2.3.5'] }, 'ExternalIP Added: 1.2.3.5'],
  [
    { externalTrafficPolicy: 'Cluster' },
    { externalTrafficPolicy: 'Local', healthCheckNodePort: 30_000 },
    'ExternalTrafficPolicy Cluster -> Local',
  ],
  [{}, { healthCheckNodePort: 30_000 }, 'HealthCheckNodePort 0 -> 30000'],
  [{ ipFamilies: ['IPv4'] }, { ipFamilies: ['IPv4', 'IPv6'], clusterIPs: ['a', 'b'] }, 'IPFamilies Count: 1 -> 2'],
  [{ ports: [{ port: 80 }] }, { ports: [{ port: 81 }] }, undefined],
])('from %j to %j: %s', (old, now, expected) => expect(told(old, now)).toBe(expected))
