import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { LabelSelector } from '#shared/api/meta/labelselector.ts'
import type { NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec } from '#shared/api/networking/networkpolicy.ts'
import { policyState, type PodFacts, type PolicyState } from '#node-agent/networkpolicy/decisions.ts'
import { changeTo, type Written } from '#node-agent/networkpolicy/ruleset.ts'
import { newKernel, type Kernel, type Packet } from './kernel.ts'
import { allowed, type World } from './model.ts'

const policy = (namespace: string, name: string, spec: NetworkPolicySpec): NetworkPolicy => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { namespace, name },
  spec,
})

const namespaceNames = ['a', 'b']
const ip = (n: number): string => `10.1.${n >> 2}.${(n & 3) + 2}`
const labels = fc.dictionary(fc.constantFrom('app', 'tier'), fc.constantFrom('x', 'y'), { maxKeys: 2 })
const selector: fc.Arbitrary<LabelSelector> = fc.oneof(
  fc.record({ matchLabels: labels }),
  fc.constant({}),
  fc.record({
    matchExpressions: fc.array(
      fc.oneof(
        fc.record({
          key: fc.constant('app'),
          operator: fc.constantFrom('In' as const, 'NotIn' as const),
          values: fc.constantFrom<string[]>(['x'], ['x', 'y']),
        }),
        fc.record({ key: fc.constant('tier'), operator: fc.constantFrom('Exists' as const, 'DoesNotExist' as const) }),
      ),
      { minLength: 1, maxLength: 2 },
    ),
  }),
)
const protocol = fc.constantFrom('TCP', 'UDP', 'SCTP')
const peer: fc.Arbitrary<NetworkPolicyPeer> = fc.oneof(
  fc.record({ podSelector: selector }),
  fc.record({ namespaceSelector: selector }),
  fc.record({ podSelector: selector, namespaceSelector: selector }),
  fc.record({
    ipBlock: fc.record({
      cidr: fc.constantFrom('0.0.0.0/0', '10.1.0.0/16', '10.1.1.0/24', '10.1.0.77/24', '203.0.113.0/24'),
      except: fc.array(fc.constantFrom('10.1.0.0/24', '10.1.0.2/31', '203.0.113.9/32'), { maxLength: 2 }),
    }),
  }),
)
const port: fc.Arbitrary<NetworkPolicyPort> = fc.oneof(
  fc.record({ protocol }),
  fc.record({ protocol, port: fc.constantFrom(80, 81, 443) }),
  fc.record({ protocol, port: fc.constantFrom(80, 81), endPort: fc.constantFrom(81, 443) }),
  fc.record({ protocol, port: fc.constantFrom('web', 'dns') }),
)
const some = <T>(one: fc.Arbitrary<T>) => fc.array(one, { maxLength: 2 })
const spec: fc.Arbitrary<NetworkPolicySpec> = fc.record({
  podSelector: selector,
  policyTypes: fc.constantFrom<NonNullable<NetworkPolicySpec['policyTypes']>>(['Ingress'], ['Egress'], ['Ingress', 'Egress']),
  ingress: some(fc.record({ from: some(peer), ports: some(port) })),
  egress: some(fc.record({ to: some(peer), ports: some(port) })),
})
const facts = fc.record({
  namespace: fc.constantFrom(...namespaceNames),
  labels,
  ports: some(fc.record({ name: fc.constantFrom('web', 'dns'), protocol, port: fc.constantFrom(80, 443) })),
  local: fc.boolean(),
})
type Step =
  | { kind: 'policy'; namespace: string; name: string; spec: NetworkPolicySpec | undefined }
  | { kind: 'pod'; n: number; facts: Omit<PodFacts, 'ip'> | undefined }
  | { kind: 'namespace'; name: string; labels: Record<string, string> }
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('policy' as const),
    namespace: fc.constantFrom(...namespaceNames),
    name: fc.constantFrom('p', 'q'),
    spec: fc.option(spec, { nil: undefined, freq: 4 }),
  }),
  fc.record({ kind: fc.constant('pod' as const), n: fc.nat(7), facts: fc.option(facts, { nil: undefined, freq: 4 }) }),
  fc.record({ kind: fc.constant('namespace' as const), name: fc.constantFrom(...namespaceNames), labels }),
)

function take(world: World, state: PolicyState, s: Step): void {
  if (s.kind === 'policy') {
    const key = `${s.namespace}/${s.name}`
    const object = s.spec && policy(s.namespace, s.name, s.spec)
    if (object) world.policies.set(key, object)
    else world.policies.delete(key)
    state.setPolicy(key, object)
  } else if (s.kind === 'pod') {
    const pod = s.facts && { ...s.facts, ip: ip(s.n) }
    if (pod) world.pods.set(String(s.n), pod)
    else world.pods.delete(String(s.n))
    state.setPod(String(s.n), pod)
  } else {
    world.namespaces.set(s.name, s.labels)
    state.setNamespace(s.name, s.labels)
  }
}

/** Brings a kernel up to date as the node does; `written` is what it holds. */
function write(kernel: Kernel, state: PolicyState, written: Written | undefined): Written | undefined {
  const decisions = state.decide()
  const { script, after } = changeTo(written, decisions)
  kernel.apply(script)
  for (const set of decisions.sets.values()) set.written()
  return after
}

const packets: Packet[] = [...Array(8).keys(), -1].flatMap(from =>
  [...Array(8).keys(), -1].flatMap(to =>
    [80, 81, 443, 9999].flatMap(port =>
      ['TCP', 'UDP', 'SCTP'].map(protocol => ({
        saddr: from < 0 ? '203.0.113.9' : ip(from),
        daddr: to < 0 ? '203.0.113.7' : ip(to),
        protocol,
        port,
      })),
    ),
  ),
)

describe('network policies', () => {
  test('the rules let through what the API says, whatever happened before', () => {
    fc.assert(
      fc.property(fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 8 }), batches => {
        const world: World = { policies: new Map(), pods: new Map(), namespaces: new Map() }
        const state = policyState()
        const kernel = newKernel()
        let written: Written | undefined
        for (const batch of batches) {
          for (const s of batch) take(world, state, s)
          written = write(kernel, state, written)
        }
        const wrong = packets.filter(p => kernel.accepts(p) !== allowed(world, p))
        expect(wrong).toEqual([])
        // Element by element it came to what it would be made of at once.
        const fresh = policyState()
        for (const [name, labels] of world.namespaces) fresh.setNamespace(name, labels)
        for (const [uid, pod] of world.pods) fresh.setPod(uid, pod)
        for (const [key, object] of world.policies) fresh.setPolicy(key, object)
        const other = newKernel()
        write(other, fresh, undefined)
        expect(kernel.dump()).toEqual(other.dump())
      }),
      { numRuns: 150 },
    )
  })

  test('a pod elsewhere costs one element; a policy for nobody here costs nothing', () => {
    const state = policyState()
    const pod = (n: number, more: Partial<PodFacts>): void =>
      state.setPod(String(n), { namespace: 'a', labels: { app: 'x' }, ip: ip(n), ports: [], local: false, ...more })
    pod(0, { local: true })
    state.setPolicy('a/web', policy('a', 'web', { podSelector: {}, policyTypes: ['Ingress'], ingress: [{ from: [{ podSelector: {} }] }] }))
    const kernel = newKernel()
    let written = write(kernel, state, undefined)
    const script = (): string => changeTo(written, state.decide()).script
    expect(script()).toBe('')
    pod(1, {})
    expect(script().trim().split('\n')).toEqual([
      expect.stringMatching(/^add element ip coxswain-networkpolicy pods-\S+ \{ 10\.1\.0\.3 \}$/),
    ])
    written = write(kernel, state, written)
    // What others want of it is as it was.
    pod(1, { ports: [{ name: 'web', protocol: 'TCP', port: 80 }] })
    expect(script()).toBe('')
    state.setPolicy(
      'b/web',
      policy('b', 'web', { podSelector: {}, policyTypes: ['Ingress', 'Egress'], egress: [{ to: [{ namespaceSelector: {} }] }] }),
    )
    expect(script()).toBe('')
    state.setPolicy('a/web', undefined)
    expect(script()).toBe('table ip coxswain-networkpolicy {}\ndelete table ip coxswain-networkpolicy\n')
  })

  test('ranges that overlap are one; blocks of IPv6 let nobody in', () => {
    const state = policyState()
    state.setPod('0', { namespace: 'a', labels: {}, ip: ip(0), ports: [], local: true })
    state.setPolicy(
      'a/p',
      policy('a', 'p', {
        podSelector: {},
        policyTypes: ['Ingress'],
        ingress: [
          {
            ports: [{ port: 90 }, { port: 80, endPort: 85 }, { port: 84, endPort: 89 }, { protocol: 'UDP' }],
            from: [{ ipBlock: { cidr: '0.0.0.0/0', except: ['10.1.2.3/8'] } }, { ipBlock: { cidr: 'fd00::/8' } }],
          },
        ],
      }),
    )
    const { script } = changeTo(undefined, state.decide())
    expect(script.split('\n').filter(l => l.startsWith('add rule') && l.includes('-a/p ') && !l.includes('jump'))).toEqual([
      expect.stringContaining(' ip saddr != 10.0.0.0/8 meta l4proto tcp th dport { 80-90 } accept'),
      expect.stringContaining(' ip saddr != 10.0.0.0/8 meta l4proto udp accept'),
    ])
  })
})
