import { describe, expect, it } from 'vitest'
import { service, type Service } from '#shared/api/core/service.ts'
import { pod, podSchema, type Pod } from '#shared/api/core/pod.ts'
import { deployment, type Deployment } from '#shared/api/apps/deployment.ts'
import { node } from '#shared/api/core/node.ts'
import { endpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { decodeValue } from '#shared/machinery/decode.ts'
import { applyDefaults } from '#shared/machinery/defaults.ts'
import { Path } from '#shared/machinery/field.ts'
import { warningsForCIDR, warningsForIP } from '#shared/machinery/ipwarnings.ts'

function warnings(spec: object, metadata: object = { name: 'a' }): string[] {
  const object = decodeValue(podSchema, { kind: 'Pod', apiVersion: 'v1', metadata, spec }).object as Pod
  applyDefaults(podSchema, object)
  pod.defaults?.(object)
  return pod.warnings!(object, undefined)
}
const container = (more: object = {}) => ({ name: 'c', image: 'x', ...more })
const term = (key: string) => ({ matchExpressions: [{ key, operator: 'Exists' }] })

describe('warnings about pods', () => {
  it.each<[string, object, string[]]>([
    ['nothing', {}, []],
    [
      'labels of nodes',
      {
        nodeSelector: { 'beta.kubernetes.io/os': 'linux' },
        affinity: {
          nodeAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term('beta.kubernetes.io/arch')] },
            preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1, preference: term('node-role.kubernetes.io/master') }],
          },
          podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'x' }] },
          podAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1, podAffinityTerm: { topologyKey: 'x' } }] },
        },
        topologySpreadConstraints: [
          { maxSkew: 1, topologyKey: 'failure-domain.beta.kubernetes.io/zone', whenUnsatisfiable: 'DoNotSchedule', labelSelector: {} },
          { maxSkew: 1, topologyKey: 'x', whenUnsatisfiable: 'DoNotSchedule' },
        ],
      },
      [
        'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
        'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/arch is deprecated since v1.14; use "kubernetes.io/arch" instead',
        'spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].key: node-role.kubernetes.io/master is use "node-role.kubernetes.io/control-plane" instead',
        'spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
        'spec.topologySpreadConstraints[1].labelSelector: a null labelSelector results in matching no pod',
        'spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.labelSelector: a null labelSelector results in matching no pod',
        'spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: a null labelSelector results in matching no pod',
      ],
    ],
    [
      'volumes',
      {
        volumes: [
          { name: 'g', gitRepo: { repository: 'x' } },
          { name: 'r', rbd: { monitors: ['a'], image: 'b' } },
          { name: 'e', ephemeral: { volumeClaimTemplate: { spec: { resources: { requests: { storage: '200m' } } } } } },
          {
            name: 'm',
            configMap: {
              name: 'cm',
              items: [
                { key: 'a', path: 'p' },
                { key: 'b', path: 'p/q/' },
              ],
            },
          },
          {
            name: 'p',
            projected: {
              sources: [
                { serviceAccountToken: { path: 'token' } },
                { secret: { name: 's', items: [{ key: 'a', path: 'token' }] } },
                { clusterTrustBundle: { signerName: 'b', path: 'token/b/' } },
                { configMap: { name: 'c', items: [{ key: 'a', path: 'tokens' }] } },
                {},
              ],
            },
          },
        ],
      },
      [
        'spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+',
        'spec.volumes[1].rbd: deprecated in v1.28, non-functional in v1.31+',
        'spec.volumes[2].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: fractional byte value "200m" is invalid, must be an integer',
        'volume "m" (ConfigMap "cm"): overlapping paths: "p/q" with "p"',
        'volume "p" (Projected) has no sources provided',
        'volume "p" (Projected): overlapping paths: "token" (Secret "s") with "token" (ServiceAccountToken)',
        'volume "p" (Projected): overlapping paths: "token/b" (ClusterTrustBundle "b") with "token" (ServiceAccountToken)',
        'volume "p" (Projected): overlapping paths: "token/b" (ClusterTrustBundle "b") with "token" (Secret "s")',
      ],
    ],
    [
      'lists',
      {
        hostAliases: [{ ip: '1.1.1.1' }, { ip: '1.1.1.1' }, { ip: '::0' }],
        imagePullSecrets: [{ name: 'a' }, { name: 'a' }, {}],
        dnsConfig: { nameservers: ['01.1.1.1'] },
        overhead: { memory: '0.5' },
      },
      [
        'spec.hostAliases[1].ip: duplicate ip "1.1.1.1"',
        'spec.imagePullSecrets[1].name: duplicate name "a"',
        'spec.imagePullSecrets[2].name: invalid empty name ""',
        'spec.dnsConfig.nameservers[0]: non-standard IP address "01.1.1.1" will be considered invalid in a future Kubernetes release: use "1.1.1.1"',
        'spec.hostAliases[2].ip: IPv6 address "::0" should be in RFC 5952 canonical format ("::")',
        'spec.overhead[memory]: fractional byte value "500m" is invalid, must be an integer',
      ],
    ],
    [
      'containers',
      {
        initContainers: [container({ name: 'i', resources: { limits: { 'ephemeral-storage': '1500m' } } })],
        containers: [
          container({
            resources: { requests: { memory: '0.1' } },
            env: [
              { name: 'A', value: 'b' },
              { name: 'A', value: 'x$(A)' },
              { name: 'A', value: 'c' },
              { name: 'A', value: '$(A)' },
            ],
          }),
        ],
      },
      [
        'spec.initContainers[0].resources.limits[ephemeral-storage]: fractional byte value "1500m" is invalid, must be an integer',
        'spec.initContainers[0].resources.requests[ephemeral-storage]: fractional byte value "1500m" is invalid, must be an integer',
        'spec.containers[0].resources.requests[memory]: fractional byte value "100m" is invalid, must be an integer',
        'spec.containers[0].env[2]: hides previous definition of "A", which may be dropped when using apply',
        'spec.containers[0].env[3]: hides previous definition of "A", which may be dropped when using apply',
      ],
    ],
    [
      'ports',
      {
        containers: [
          container({ ports: [{ containerPort: 80 }, { containerPort: 80 }, { containerPort: 81, hostIP: '1.1.1.1' }] }),
          container({
            name: 'd',
            ports: [
              { containerPort: 80, hostPort: 8080 },
              { containerPort: 80, hostPort: 8080, hostIP: '1.1.1.1' },
            ],
          }),
        ],
      },
      [
        'spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]',
        'spec.containers[0].ports[2]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:81 Protocol:TCP HostIP:1.1.1.1}',
        'spec.containers[1].ports[0]: overlapping port definition with spec.containers[0].ports[0]',
        'spec.containers[1].ports[0]: overlapping port definition with spec.containers[0].ports[1]',
        'spec.containers[1].ports[1]: overlapping port definition with spec.containers[0].ports[0]',
        'spec.containers[1].ports[1]: overlapping port definition with spec.containers[0].ports[1]',
        'spec.containers[1].ports[1]: dangerously ambiguous port definition with spec.containers[1].ports[0]',
      ],
    ],
    [
      'names of ports',
      {
        initContainers: [container({ name: 'i', restartPolicy: 'Always', ports: [{ containerPort: 80, name: 'metrics' }] })],
        containers: [
          container({ ports: [{ containerPort: 81, name: 'metrics' }, { containerPort: 82 }] }),
          container({ name: 'd', ports: [{ containerPort: 83, name: 'web' }, { containerPort: 84 }] }),
        ],
      },
      [
        'spec.containers[0].ports[0]: duplicate port name "metrics" with spec.initContainers[0].ports[0], services and probes that select ports by name will use spec.initContainers[0].ports[0]',
      ],
    ],
  ])('%s', (_, spec, expected) => {
    expect(warnings({ containers: [container()], ...spec })).toEqual(expected)
  })

  it('annotations that do nothing', () => {
    const annotations = {
      'scheduler.alpha.kubernetes.io/critical-pod': '',
      'seccomp.security.alpha.kubernetes.io/pod': 'x',
    }
    expect(warnings({ containers: [container()] }, { name: 'a', annotations })).toEqual([
      'metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the "priorityClassName" field instead',
      'metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use the "seccompProfile" field instead',
    ])
  })

  it.each<[string, object | undefined, object | undefined, boolean]>([
    ['unconfined', undefined, { type: 'Unconfined' }, true],
    ['runtime/default', undefined, { type: 'RuntimeDefault' }, true],
    ['localhost/mine', undefined, { type: 'Localhost', localhostProfile: 'mine' }, true],
    ['localhost/', undefined, undefined, true],
    ['', undefined, undefined, true],
    ['unconfined', { type: 'Unconfined' }, undefined, false],
  ])('the AppArmor annotation %j is honoured, under a pod with %o', (annotation, ofPod, ofContainer, told) => {
    const object = {
      metadata: { name: 'a', annotations: { 'container.apparmor.security.beta.kubernetes.io/c': annotation } },
      spec: { containers: [container()], ...(ofPod ? { securityContext: { appArmorProfile: ofPod } } : {}) },
    } as unknown as Pod
    const said: string[] = []
    pod.prepareForCreate!(object, { subresource: '', dryRun: false, warnings: said })
    expect(object.spec.containers[0]!.securityContext?.appArmorProfile).toEqual(ofContainer)
    expect(said).toEqual(
      told
        ? [
            'metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; use the "appArmorProfile" field instead',
          ]
        : [],
    )
    expect(pod.warnings!(object, undefined).filter(w => w.includes('apparmor'))).toEqual([])
  })

  it('names that are no names of hosts', () => {
    expect(warnings({ containers: [container()] }, { name: 'a.b' })).toEqual([
      "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]",
    ])
  })

  it('never more than clients are sent', () => {
    const ports = Array.from({ length: 3000 }, () => ({ containerPort: 80 }))
    expect(warnings({ containers: [container({ ports })] }).length).toBeLessThanOrEqual(100)
  })

  it('templates, when they change', () => {
    const make = (generation: number) =>
      ({
        metadata: { name: 'd.x', generation },
        spec: {
          template: {
            spec: { containers: [container()], nodeSelector: { 'beta.kubernetes.io/os': 'linux' }, terminationGracePeriodSeconds: -1 },
          },
        },
      }) as unknown as Deployment
    const texts = [
      'spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
      'spec.template.spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1',
    ]
    expect(deployment.warnings!(make(1), undefined)).toEqual([
      'metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]',
      ...texts,
    ])
    expect(deployment.warnings!(make(2), make(1))).toEqual(texts)
    expect(deployment.warnings!(make(1), make(1))).toEqual([])
  })
})

describe('warnings about other kinds', () => {
  it('services', () => {
    const said = (spec: object, annotations = {}) =>
      service.warnings!({ metadata: { annotations }, spec: { sessionAffinity: 'None', ...spec } } as unknown as Service, undefined)
    expect(said({ type: 'ClusterIP' })).toEqual([])
    expect(
      said({ type: 'ClusterIP', clusterIP: 'None', sessionAffinity: 'ClientIP', externalIPs: ['1.1.1.1'], externalName: 'x' }),
    ).toEqual([
      'spec.externalIPs is ignored for headless services',
      'spec.SessionAffinity is ignored for headless services',
      'spec.externalName is ignored when spec.type is not "ExternalName"',
    ])
    expect(said({ type: 'LoadBalancer', loadBalancerSourceRanges: ['10.0.0.1/8'], trafficDistribution: 'PreferClose' })).toEqual([
      'spec.loadBalancerSourceRanges[0]: CIDR value "10.0.0.1/8" is ambiguous in this context (should be "10.0.0.0/8" or "10.0.0.1/32"?)',
      'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"',
    ])
    expect(said({ type: 'ClusterIP' }, { 'service.kubernetes.io/topology-aware-hints': 'auto' })).toEqual([
      'annotation service.kubernetes.io/topology-aware-hints is deprecated, please use service.kubernetes.io/topology-mode instead',
    ])
  })

  it('nodes and endpoint slices', () => {
    const old = { metadata: {}, spec: { externalID: 'x', podCIDRs: ['fd00::1:0/112'] } } as never
    expect(node.warnings!(old, undefined)).toEqual(['spec.externalID: this field is deprecated, and is unused by Kubernetes'])
    expect(endpointSlice.warnings!({ addressType: 'FQDN', endpoints: [] } as never, undefined)).toEqual([
      'spec.addressType: FQDN endpoints are deprecated',
    ])
    expect(
      endpointSlice.warnings!({ addressType: 'IPv6', endpoints: [{ addresses: ['fd00::1', 'fd00:0::1'] }] } as never, undefined),
    ).toEqual(['endpoints[0].addresses[1]: IPv6 address "fd00:0::1" should be in RFC 5952 canonical format ("fd00::1")'])
  })

  it('addresses and ranges', () => {
    const at = new Path('x')
    expect(warningsForIP('10.0.0.1', at)).toEqual([])
    expect(warningsForIP('::ffff:1.2.3.4', at)).toEqual([
      'x: non-standard IP address "::ffff:1.2.3.4" will be considered invalid in a future Kubernetes release: use "1.2.3.4"',
    ])
    expect(warningsForCIDR('fd00::/8', at)).toEqual([])
    expect(warningsForCIDR('fd00:0::/16', at)).toEqual([
      'x: IPv6 CIDR value "fd00:0::/16" should be in RFC 5952 canonical format ("fd00::/16")',
    ])
    expect(warningsForCIDR('010.0.0.0/8', at)).toEqual([
      'x: non-standard CIDR value "010.0.0.0/8" will be considered invalid in a future Kubernetes release: use "10.0.0.0/8"',
    ])
  })
})
