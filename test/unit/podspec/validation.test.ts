import { describe, expect, it } from 'vitest'
import { makePod, problems } from './pods.ts'

const withContainer = (fields: object, spec: object = {}) => problems({ containers: [{ name: 'c', image: 'x', ...fields }], ...spec })
const label =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"

describe('rules of a pod', () => {
  it('are kept by a plain one', () => expect(problems({})).toEqual([]))

  it.each<[string, object, string[]]>([
    ['no containers', { containers: [] }, ['spec.containers: Required value']],
    ['no name', { containers: [{ image: 'x' }] }, ['spec.containers[0].name: Required value']],
    ['no image', { containers: [{ name: 'c' }] }, ['spec.containers[0].image: Required value']],
    ['bad name', { containers: [{ name: 'Bad', image: 'x' }] }, [`spec.containers[0].name: Invalid value: "Bad": ${label}`]],
    [
      'white space',
      { containers: [{ name: 'c', image: ' x' }] },
      ['spec.containers[0].image: Invalid value: " x": must not have leading or trailing whitespace'],
    ],
    [
      'two of a name',
      {
        containers: [
          { name: 'c', image: 'x' },
          { name: 'c', image: 'x' },
        ],
      },
      ['spec.containers[1].name: Duplicate value: "c"'],
    ],
    ['init of the same name', { initContainers: [{ name: 'c', image: 'x' }] }, ['spec.initContainers[0].name: Duplicate value: "c"']],
    [
      'restart policy',
      { restartPolicy: 'No' },
      ['spec.restartPolicy: Unsupported value: "No": supported values: "Always", "Never", "OnFailure"'],
    ],
    [
      'deadline',
      { activeDeadlineSeconds: 0 },
      ['spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive'],
    ],
    ['ephemeral', { ephemeralContainers: [{ name: 'e', image: 'x' }] }, ['spec.ephemeralContainers: Forbidden: cannot be set on create']],
    [
      'gated and bound',
      { nodeName: 'n', schedulingGates: [{ name: 'g' }] },
      ['spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared'],
    ],
    ['DNS policy None', { dnsPolicy: 'None' }, ['spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None']],
    ['host users', { hostUsers: false, hostPID: true }, ['spec.HostPID: Forbidden: when `pod.Spec.HostUsers` is false']],
  ])('%s', (_, spec, expected) => expect(problems(spec)).toEqual(expected))

  it.each<[string, object, string[]]>([
    ['mount of nothing', { volumeMounts: [{ name: 'v', mountPath: '/v' }] }, ['spec.containers[0].volumeMounts[0].name: Not found: "v"']],
    [
      'request over limit',
      { resources: { requests: { cpu: '2' }, limits: { cpu: '1' } } },
      ['spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
    ],
    [
      'unknown resource',
      { resources: { limits: { foo: '1' } } },
      [
        'spec.containers[0].resources.limits[foo]: Invalid value: "foo": must be a standard resource type or fully qualified',
        'spec.containers[0].resources.limits[foo]: Invalid value: "foo": must be a standard resource for containers',
        'spec.containers[0].resources.requests[foo]: Invalid value: "foo": must be a standard resource type or fully qualified',
        'spec.containers[0].resources.requests[foo]: Invalid value: "foo": must be a standard resource for containers',
      ],
    ],
    [
      'half a device',
      { resources: { limits: { 'example.com/gpu': '500m' } } },
      [
        'spec.containers[0].resources.limits[example.com/gpu]: Invalid value: "500m": must be an integer',
        'spec.containers[0].resources.requests[example.com/gpu]: Invalid value: "500m": must be an integer',
      ],
    ],
    ['probe without action', { livenessProbe: {} }, ['spec.containers[0].livenessProbe: Required value: must specify a handler type']],
    [
      'two actions',
      { livenessProbe: { exec: { command: ['a'] }, tcpSocket: { port: 1 } } },
      ['spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type'],
    ],
    [
      'liveness threshold',
      { livenessProbe: { exec: { command: ['a'] }, successThreshold: 2 } },
      ['spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1'],
    ],
    [
      'port',
      { ports: [{ containerPort: 70000 }] },
      ['spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive'],
    ],
    [
      'port name',
      { ports: [{ containerPort: 1, name: 'a--b' }] },
      ['spec.containers[0].ports[0].name: Invalid value: "a--b": must not contain consecutive hyphens'],
    ],
    [
      'env name',
      { env: [{ name: 'a=b', value: 'x' }] },
      [
        'spec.containers[0].env[0].name: Invalid value: "a=b": a valid environment variable name must consist only of printable ASCII characters other than \'=\'',
      ],
    ],
    [
      'env field',
      { env: [{ name: 'a', valueFrom: { fieldRef: { fieldPath: 'spec.nope' } } }] },
      [
        'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.nope": error converting fieldPath: field label not supported: spec.nope',
      ],
    ],
    [
      'resize policy',
      { resizePolicy: [{ resourceName: 'disk', restartPolicy: 'NotRequired' }] },
      ['spec.containers[0].resizePolicy: Unsupported value: "disk": supported values: "cpu", "memory"'],
    ],
    [
      'escalation',
      { securityContext: { runAsUser: -1 } },
      ['spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive'],
    ],
  ])('container: %s', (_, fields, expected) => expect(withContainer(fields)).toEqual(expected))

  it('of volumes: one source each, and names', () => {
    const volumes = [
      { name: 'v', emptyDir: {}, hostPath: { path: '/x' } },
      { name: 'w', secret: {} },
      { name: 'x', hostPath: { path: '/a/../b' } },
    ]
    expect(problems({ volumes })).toEqual([
      'spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type',
      'spec.volumes[1].secret.secretName: Required value',
      'spec.volumes[2].hostPath.path: Invalid value: "/a/../b": must not contain \'..\'',
    ])
  })

  it('of files of variables: in an emptyDir of the pod', () => {
    const env = (volumeName: string) => [{ name: 'A', valueFrom: { fileKeyRef: { volumeName, path: 'a.env', key: 'A', optional: false } } }]
    const spec = (volumeName: string) => ({
      volumes: [
        { name: 'own', emptyDir: {} },
        { name: 'node', hostPath: { path: '/tmp', type: '' } },
      ],
      initContainers: [{ name: 'i', image: 'x', env: env(volumeName) }],
      containers: [{ name: 'c', image: 'x', env: env(volumeName) }],
    })
    const at = (list: string): string => `spec.${list}[0].env[0].valueFrom.fileKeyRef.volumeName`
    expect(problems(spec('own'))).toEqual([])
    expect(problems(spec('none'))).toEqual([`${at('containers')}: Not found: "none"`, `${at('initContainers')}: Not found: "none"`])
    expect(problems(spec('node'))).toEqual(
      ['containers', 'initContainers'].map(list => `${at(list)}: Invalid value: "node": referenced volume must be of type emptyDir`),
    )
  })
  it('of tokens need a service account', () => {
    const volumes = [{ name: 'v', projected: { sources: [{ serviceAccountToken: { path: 't', expirationSeconds: 10 } }] } }]
    expect(problems({ volumes })).toEqual([
      'spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 10: may not specify a duration less than 10 minutes',
      'spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: must not be specified when serviceAccountName is not set',
    ])
  })

  it('of host ports: no two, and with the host network the same as inside', () => {
    const two = [
      { containerPort: 80, hostPort: 8080 },
      { containerPort: 81, hostPort: 8080 },
    ]
    expect(withContainer({ ports: two })).toEqual(['spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//8080"'])
    expect(withContainer({ ports: [{ containerPort: 80, hostPort: 8080 }] }, { hostNetwork: true })).toEqual([
      'spec.containers[0].ports[0].hostPort: Invalid value: 8080: must match `containerPort` when `hostNetwork` is true',
    ])
  })

  it('of affinity, tolerations and spreading', () => {
    const affinity = {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'a', operator: 'In' }] }] },
      },
    }
    const at = 'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0]'
    expect(problems({ affinity })).toEqual([`${at}.values: Required value: must be specified when \`operator\` is 'In' or 'NotIn'`])
    expect(problems({ tolerations: [{ operator: 'Equal' }] })).toEqual([
      'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys"',
    ])
    expect(problems({ topologySpreadConstraints: [{ maxSkew: 0, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule' }] })).toEqual([
      'spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero',
    ])
  })

  it('of resources of the pod as a whole: not less than its containers want of the same', () => {
    const resources = { requests: { cpu: '1', 'hugepages-2Mi': '2Mi' }, limits: { cpu: '1', memory: '1Gi', 'hugepages-2Mi': '2Mi' } }
    const pages = (amount: string) => ({ requests: { cpu: '1m', 'hugepages-2Mi': amount }, limits: { 'hugepages-2Mi': amount } })
    // What a pod cannot have as a whole.
    const own = { limits: { 'ephemeral-storage': '1Gi', 'x.example/gpu': '1' } }
    expect(withContainer({ resources: own }, { resources })).toEqual([])
    expect(withContainer({ resources: { requests: { cpu: '2' } } }, { resources })).toEqual([
      'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests of 2',
    ])
    const each = (name: string) => ({ name, image: 'x', resources: pages('2Mi') })
    expect(problems({ containers: [each('a'), each('b')], resources })).toEqual([
      'spec.resources.requests[hugepages-2Mi]: Invalid value: "2Mi": must be greater than or equal to aggregate container requests of 4Mi',
      'spec.resources.limits[hugepages-2Mi]: Invalid value: "2Mi": must be greater than or equal to aggregate container limits of 4Mi',
    ])
  })

  it('let init containers have probes only as sidecars', () => {
    const readinessProbe = { tcpSocket: { port: 1 } }
    expect(problems({ initContainers: [{ name: 'i', image: 'x', readinessProbe }] })).toEqual([
      'spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always',
    ])
    expect(problems({ initContainers: [{ name: 'i', image: 'x', readinessProbe, restartPolicy: 'Always' }] })).toEqual([])
  })

  it('hold for annotations, too', () => {
    const mirror = { annotations: { 'kubernetes.io/config.mirror': 'x' } }
    expect(problems({}, mirror)).toEqual([
      'metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "x": must set spec.nodeName if mirror pod annotation is set',
    ])
    expect(problems({ nodeName: 'n' }, mirror)).toEqual([])
    expect(problems({}, { annotations: { 'controller.kubernetes.io/pod-deletion-cost': 'x' } })).toEqual([
      'metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "x": must be a 32bit integer',
    ])
  })

  it('never throw on odd but decodable input', () => {
    for (const spec of [
      { affinity: { podAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{}] } } },
      { volumes: [{}] },
      { containers: [{ env: [{}], lifecycle: { preStop: { httpGet: {} } } }] },
    ])
      expect(() => problems(spec)).not.toThrow()
    expect(makePod({}).kind).toBe('Pod')
  })
})
