/** Back-off, admission, files and probes' thresholds. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Node } from '#shared/api/core/node.ts'
import { durationText } from '#shared/machinery/duration.ts'
import { crashLoop, grow, remaining, upTo, type Delay } from '#node-agent/kubelet/container/backoff.ts'
import { sysctlPatternError } from '#node-agent/kubelet/pod/sysctls.ts'
import { admit } from '#node-agent/kubelet/pod/admission.ts'
import { checkHostname, hostsFile, podHostname, resolvFile } from '#node-agent/kubelet/pod/files.ts'
import { initialState, nextState } from '#node-agent/kubelet/probes/state.ts'
import { httpTarget } from '#node-agent/kubelet/probes/http.ts'
import { container, newPod } from './pods.ts'

describe('back-off', () => {
  test('doubles from 10 s to 5 min, the first restart is free', () => {
    let delay: Delay | undefined
    let now = 0
    const waits: number[] = []
    for (let n = 0; n < 8; n++) {
      const wait = remaining(delay, now, now, crashLoop)
      waits.push(wait / 1000)
      now += wait
      delay = grow(delay, now, crashLoop)
    }
    expect(waits).toEqual([0, 10, 20, 40, 80, 160, 300, 300])
  })
  test('of a node that lets nothing wait for longer begins with that', () => {
    expect(upTo(2_000, crashLoop)).toEqual({ initialMs: 2_000, maxMs: 2_000 })
    expect(upTo(60_000, crashLoop)).toEqual({ initialMs: 10_000, maxMs: 60_000 })
    expect(grow({ delayMs: 2_000, updatedAt: 0 }, 1_000, upTo(2_000, crashLoop)).delayMs).toBe(2_000)
  })
  test('is forgotten after ten minutes', () => {
    const delay = { delayMs: 160_000, updatedAt: 0 }
    expect(remaining(delay, 600_001, 600_001, crashLoop)).toBe(0)
    expect(grow(delay, 600_001, crashLoop).delayMs).toBe(10_000)
  })
  test('never more than the limit', () =>
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1e6 }),
        fc.nat(1e6),
        (delayMs, now) => grow({ delayMs, updatedAt: now }, now, crashLoop).delayMs <= crashLoop.maxMs,
      ),
    ))
  test.each([
    [10_000, '10s'],
    [80_000, '1m20s'],
    [300_000, '5m0s'],
    [3_600_000, '1h0m0s'],
  ])('%i is %s', (ms, text) => expect(durationText(ms)).toBe(text))
})

describe('admission', () => {
  const node = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'n', labels: { zone: 'a' } },
    spec: {},
    status: { allocatable: { cpu: '2', memory: '1Gi', pods: '2' } },
  } as Node
  const asks = (requests: { [r: string]: string }) => newPod({ containers: [container('a', { resources: { requests } })] })
  test('what fits may run', () => expect(admit(asks({ cpu: '1', memory: '1Gi' }), node, [asks({ cpu: '1' })])).toBeUndefined())
  test('resources', () => {
    expect(admit(asks({ cpu: '1500m' }), node, [asks({ cpu: '1' })])).toMatchObject({
      reason: 'OutOfcpu',
      message: "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000",
    })
    expect(admit(asks({ memory: '2Gi' }), node, [])).toMatchObject({ reason: 'OutOfmemory' })
    expect(admit(newPod(), node, [newPod(), newPod()])).toMatchObject({
      reason: 'OutOfpods',
      message: "Node didn't have enough resource: pods, requested: 1, used: 2, capacity: 2",
    })
  })
  test('selectors and affinity', () => {
    const rejected = { reason: 'NodeAffinity', message: "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector" }
    expect(admit(newPod({ nodeSelector: { zone: 'b' } }), node, [])).toEqual(rejected)
    const term = (operator: string, values?: string[]) =>
      newPod({
        affinity: {
          nodeAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: {
              nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator, ...(values ? { values } : {}) }] }],
            },
          },
        },
      })
    expect([term('In', ['a']), term('NotIn', ['b']), term('Exists')].map(p => admit(p, node, []))).toEqual([
      undefined,
      undefined,
      undefined,
    ])
    expect([term('In', ['b']), term('NotIn', ['a']), term('DoesNotExist')].map(p => admit(p, node, []))).toEqual([
      rejected,
      rejected,
      rejected,
    ])
  })
  test('only NoExecute taints count', () => {
    const tainted = (effect: string) => ({ ...node, spec: { taints: [{ key: 'k', effect }] } }) as Node
    expect(admit(newPod(), tainted('NoSchedule'), [])).toBeUndefined()
    expect(admit(newPod(), tainted('NoExecute'), [])).toMatchObject({ reason: 'TaintToleration' })
    expect(admit(newPod({ tolerations: [{ operator: 'Exists' }] }), tainted('NoExecute'), [])).toBeUndefined()
  })
  test('a full disk takes none but what the cluster cannot do without', () => {
    const full = { ...node, status: { ...node.status, conditions: [{ type: 'DiskPressure', status: 'True' }] } } as Node
    expect(admit(newPod(), full, [])).toEqual({ reason: 'Evicted', message: 'The node had condition: [DiskPressure]. ' })
    expect(admit(newPod({ priority: 2_000_001_000 }), full, [])).toBeUndefined()
  })
  test('sysctls that reach beyond the pod', () => {
    const sets = (name: string) => admit(newPod({ securityContext: { sysctls: [{ name, value: '1' }] } }), node, [])
    expect([sets('net.ipv4.tcp_syncookies'), sets('net/ipv4/tcp_syncookies')]).toEqual([undefined, undefined])
    expect(sets('kernel.msgmax')).toEqual({ reason: 'SysctlForbidden', message: 'forbidden sysctl: "kernel.msgmax" not allowlisted' })
    const allowing = (name: string, ...allowed: string[]) =>
      admit(newPod({ securityContext: { sysctls: [{ name, value: '1' }] } }), node, [], { allowedUnsafeSysctls: allowed })?.message
    expect([allowing('kernel.msgmax', 'kernel.msg*'), allowing('net/core/somaxconn', 'net.core.somaxconn')]).toEqual([undefined, undefined])
    expect(allowing('kernel.sem', 'kernel.msg*')).toBe('forbidden sysctl: "kernel.sem" not allowlisted')
    const shared = newPod({ hostNetwork: true, securityContext: { sysctls: [{ name: 'net.ipv4.tcp_rmem', value: '1' }] } })
    expect(admit(shared, node, [])?.message).toBe('forbidden sysctl: "net.ipv4.tcp_rmem" not allowed with host net enabled')
  })
  test('patterns of sysctls that an administrator may allow', () => {
    expect(['kernel.msg*', 'net.*', 'net/ipv4/conf/eth0.1/rp_filter', 'kernel.sem'].map(sysctlPatternError)).toEqual(
      Array(4).fill(undefined),
    )
    expect(sysctlPatternError('vm.swappiness')).toBe('the sysctl "vm.swappiness" are not known to be namespaced')
    expect(sysctlPatternError('vm.*')).toBe('the sysctls "vm.*" are not known to be namespaced')
    expect(sysctlPatternError('')).toContain('is no name of a sysctl')
  })
  test('AppArmor where the kernel has none', () => {
    const asks = (type: string, own?: string) =>
      newPod({
        securityContext: { appArmorProfile: { type } },
        containers: [container('a', own ? { securityContext: { appArmorProfile: { type: own } } } : {})],
      } as never)
    const refused = { reason: 'AppArmor', message: 'Cannot enforce AppArmor: AppArmor is not enabled on the host' }
    expect([asks('RuntimeDefault'), asks('Unconfined', 'Localhost')].map(p => admit(p, node, []))).toEqual([refused, refused])
    expect([asks('Unconfined'), asks('RuntimeDefault', 'Unconfined')].map(p => admit(p, node, []))).toEqual([undefined, undefined])
    expect(admit(asks('RuntimeDefault'), node, [], { appArmor: true })).toBeUndefined()
  })
  test('another operating system', () => {
    expect(admit(newPod({ os: { name: 'windows' } }), node, [])).toMatchObject({ reason: 'PodOSNotSupported' })
    const windows = { 'kubernetes.io/os': 'windows' }
    const labelled = newPod()
    labelled.metadata.labels = windows
    expect(admit(labelled, node, [])).toMatchObject({ reason: 'PodOSSelectorNodeLabelDoesNotMatch' })
    expect(admit(newPod({ nodeSelector: windows }), node, [])).toMatchObject({ reason: 'NodeAffinity' })
  })
  test('host ports', () => {
    const pod = newPod({ containers: [container('a', { ports: [{ containerPort: 80, hostPort: 8080 }] })] })
    expect(admit(pod, node, [pod])).toMatchObject({ reason: 'NodePorts' })
  })
})

describe('files', () => {
  test('host name and domain', () => {
    expect(podHostname(newPod({ hostname: 'h', subdomain: 's' }), 'n')).toEqual({ hostname: 'h', domain: 's.ns.svc.cluster.local' })
    expect(podHostname(newPod({ hostname: 'h', subdomain: 's', setHostnameAsFQDN: true }), 'n').hostname).toBe('h.s.ns.svc.cluster.local')
    expect(podHostname(newPod({ hostNetwork: true }), 'n').hostname).toBe('n')
  })
  test('hosts', () => {
    const text = hostsFile(
      newPod({ hostname: 'h', subdomain: 's', hostAliases: [{ ip: '1.2.3.4', hostnames: ['x', 'y'] }] }),
      ['10.0.0.5', 'fd00::5'],
      'n',
      '',
    )
    expect(text).toContain('10.0.0.5\th.s.ns.svc.cluster.local\th\nfd00::5\th.s.ns.svc.cluster.local\th\n')
    expect(text).toContain('1.2.3.4\tx\ty\n')
    expect(hostsFile(newPod({ hostNetwork: true }), [], 'n', '127.0.0.1 localhost\n')).toBe(
      '# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n',
    )
  })
  test('what the kernel or resolvers have no room for', () => {
    expect(() => checkHostname('h'.repeat(64))).not.toThrow()
    expect(() => checkHostname('h'.repeat(65))).toThrow('is too long (64 characters is the max, 65 characters requested)')
    const names = { servers: ['10.0.0.10'], domain: 'cluster.local' }
    const dnsConfig = { nameservers: ['1.1.1.1', '1.1.1.2', '1.1.1.3'], searches: Array.from({ length: 33 }, (_, i) => `d${i}.example`) }
    const { text, omitted } = resolvFile(newPod({ dnsPolicy: 'ClusterFirst', dnsConfig }), '', names)
    expect(text.match(/^nameserver /gm)).toHaveLength(3)
    expect(text.split('\n')[0]!.split(' ')).toHaveLength(33)
    expect(omitted.map(o => o.split(',')[0])).toEqual(['Search Line limits were exceeded', 'Nameserver limits were exceeded'])
    const long = resolvFile(
      newPod({ dnsPolicy: 'None', dnsConfig: { searches: Array.from({ length: 9 }, (_, i) => `${i}${'d'.repeat(249)}`) } }),
      '',
      names,
    )
    expect(long.text.split(' ')).toHaveLength(9)
    expect(long.omitted).toHaveLength(1)
  })
  test('resolv.conf', () => {
    const node = 'nameserver 9.9.9.9\nsearch example.com\noptions ndots:1 rotate\n'
    const names = { servers: ['10.0.0.10'], domain: 'cluster.local' }
    const cluster = 'search ns.svc.cluster.local svc.cluster.local cluster.local example.com\nnameserver 10.0.0.10\noptions ndots:5\n'
    expect(resolvFile(newPod({}), node, names).text).toBe(cluster)
    expect(resolvFile(newPod({ hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }), node, names).text).toBe(cluster)
    for (const spec of [{ dnsPolicy: 'Default' }, { hostNetwork: true }] as const) expect(resolvFile(newPod(spec), node, names).text).toBe(node.replace(/(nameserver.*\n)(search.*\n)/, '$2$1')) // prettier-ignore
    expect(resolvFile(newPod({}), node, { ...names, servers: [] }).text).toContain('nameserver 9.9.9.9')
    expect(resolvFile(newPod({ dnsPolicy: 'Default' }), node, names).text).toBe(
      'search example.com\nnameserver 9.9.9.9\noptions ndots:1 rotate\n',
    )
    const dnsConfig = { nameservers: ['1.1.1.1'], searches: ['a.b'], options: [{ name: 'ndots', value: '5' }] }
    expect(resolvFile(newPod({ dnsPolicy: 'None', dnsConfig }), node, names).text).toBe('search a.b\nnameserver 1.1.1.1\noptions ndots:5\n')
    expect(resolvFile(newPod({ dnsPolicy: 'Default', dnsConfig }), node, names).text).toBe(
      'search example.com a.b\nnameserver 9.9.9.9\nnameserver 1.1.1.1\noptions ndots:5 rotate\n',
    )
  })
})

describe('probes', () => {
  const probe = { successThreshold: 2, failureThreshold: 3 }
  const run = (outcomes: string, kind: 'readiness' | 'liveness' | 'startup' = 'readiness') => {
    let state = initialState(kind)
    return [...outcomes].map(o => (state = nextState(probe, state, o === '+' ? 'success' : o === '-' ? 'failure' : 'unknown')).result)
  }
  test('thresholds in a row', () => {
    expect(run('+-++')).toEqual(['failure', 'failure', 'failure', 'success'])
    expect(run('++--+---')).toEqual(['failure', 'success', 'success', 'success', 'success', 'success', 'success', 'failure'])
  })
  test('what could not be carried out counts as nothing', () => expect(run('+?+').at(-1)).toBe('success'))
  test('a container is alive until it fails', () => expect(run('--', 'liveness')).toEqual(['success', 'success']))
  test('startup is unknown at first', () => expect(run('-', 'startup')).toEqual(['unknown']))
  test('httpGet', () => {
    const { url, headers } = httpTarget(
      {
        port: 80,
        path: 'x?y=1',
        httpHeaders: [
          { name: 'host', value: 'h' },
          { name: 'accept', value: '' },
        ],
      },
      '10.0.0.5',
      8080,
    )
    expect(url.href).toBe('http://10.0.0.5:8080/x?y=1')
    expect(headers).toEqual({ 'User-Agent': 'kube-probe/1.35', Connection: 'close', host: 'h' })
  })
})
