/**
 * NetworkPolicy on a node: follows policies and, as long as there are any, all pods and namespaces, and keeps the node's rules in step. A
 * pod's first container starts when the rules for it are written.
 */
import type { Namespace } from '#shared/api/core/namespace.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { NetworkPolicy } from '#shared/api/networking/networkpolicy.ts'
import { backoff } from '#shared/client/backoff.ts'
import type { Informer, InformerEvent } from '#shared/client/informer.ts'
import type { Logger } from '#shared/component/log.ts'
import { nft } from '#shared/linux/nft.ts'
import type { IPFamily } from '#shared/machinery/ip.ts'
import { isStatic } from '../kubelet/pod/critical.ts'
import { policyState, type Decisions, type PolicyState } from './decisions.ts'
import { podFacts } from './podfacts.ts'
import { directions } from './rules.ts'
import { changeTo, removal, type Written } from './ruleset.ts'

export interface NetworkPolicyOptions {
  nodeName: string
  /** Of the node's pods. */
  families?: readonly IPFamily[]
  policies: Informer<NetworkPolicy>
  /** Begins to follow all pods (of which what podfacts.ts keeps is enough) and namespaces, until the signal. */
  follow(signal: AbortSignal): { pods: Informer<Pod>; namespaces: Informer<Namespace> }
  log: Logger
}
export interface NetworkPolicies {
  /**
   * Resolves when what policies say of a pod of this node is in force at these addresses. Rejects when that is not known, or not written,
   * after some time: the pod must not start then. A static pod that comes before the API does not wait for it.
   */
  enforce(pod: Pod, ips: readonly string[]): Promise<void>
  /** The pod has no address any more. */
  release(uid: string): void
}

/** Changes that come together are written together. */
const BATCH_MS = 5
const PATIENCE_MS = 20_000

/** Starts; ends at `signal`, when the rules stay as they are. */
export function startNetworkPolicies(options: NetworkPolicyOptions, signal: AbortSignal): NetworkPolicies {
  const { nodeName, families = ['IPv4'], policies, log } = options
  const own = new Map<string, { pod: Pod; ips: readonly string[] }>()
  const pause = backoff(100, 10_000)
  /** While there are policies. */
  let following:
    { states: ReadonlyMap<IPFamily, PolicyState>; synced: Promise<unknown>; isSynced: boolean; stop: AbortController } | undefined
  /** Without an entry there is no table of that family; none is to be believed when it is not `known`. */
  let written = new Map<IPFamily, Written>()
  let known = false
  let started = false
  let timer: NodeJS.Timeout | undefined
  let writing = false
  let waiters: { ips: readonly string[]; done: () => void }[] = []

  const keyOf = ({ metadata }: NetworkPolicy): string => `${metadata.namespace}/${metadata.name}`

  function schedule(ms = BATCH_MS): void {
    if (signal.aborted || writing || timer || !started || (following && !following.isSynced)) return
    timer = setTimeout(() => {
      timer = undefined
      void write()
    }, ms)
  }

  function begin(): void {
    const states = new Map(families.map(family => [family, policyState(family)]))
    const stop = new AbortController()
    const { pods, namespaces } = options.follow(AbortSignal.any([signal, stop.signal]))
    const mine = { states, stop, isSynced: false, synced: Promise.all([pods.synced, namespaces.synced]) }
    following = mine
    known = false
    for (const policy of policies.list()) setPolicy(keyOf(policy), policy)
    const stops = [
      namespaces.subscribe(({ type, object: { metadata } }) => {
        for (const state of states.values())
          state.setNamespace(metadata.name ?? '', type === 'DELETED' ? undefined : (metadata.labels ?? {}))
        schedule()
      }),
      pods.subscribe(({ type, object }) => {
        const uid = object.metadata.uid ?? ''
        const here = own.get(uid)
        // One of ours keeps its address and what it is until it is torn down, also when the API has forgotten it.
        if (here && type !== 'DELETED') here.pod = object
        for (const [family, state] of states)
          if (here) state.setPod(uid, podFacts(here.pod, true, family, here.ips))
          else state.setPod(uid, type === 'DELETED' ? undefined : podFacts(object, object.spec.nodeName === nodeName, family))
        schedule()
      }),
    ]
    stop.signal.addEventListener('abort', () => stops.forEach(unsubscribe => unsubscribe()))
    for (const [uid, { pod, ips }] of own) for (const [family, state] of states) state.setPod(uid, podFacts(pod, true, family, ips))
    void mine.synced.then(() => {
      mine.isSynced = true
      schedule(0)
    })
  }

  function setPolicy(key: string, policy: NetworkPolicy | undefined): void {
    try {
      for (const state of following?.states.values() ?? []) state.setPolicy(key, policy)
    } catch (e) {
      log.error({ policy: key, err: (e as Error).message }, 'network policy cannot be understood')
    }
  }

  policies.subscribe(({ type, object }) => {
    if (!started) return
    setPolicy(keyOf(object), type === 'DELETED' ? undefined : object)
    follow()
    schedule()
  })

  /** Pods and namespaces are looked at only while there are policies. */
  function follow(): void {
    const wanted = policies.list().length > 0
    if (wanted && !following) begin()
    else if (!wanted && following) {
      following.stop.abort()
      following = undefined
    }
  }

  const nothing: Decisions = { sets: new Map(), policies: new Map(), isolated: { ingress: new Map(), egress: new Map() } }

  async function write(): Promise<void> {
    writing = true
    const mine = following
    const waiting = waiters
    waiters = []
    let wait = 0
    const decisions = new Map(families.map(family => [family, mine?.states.get(family)?.decide() ?? nothing]))
    try {
      const next = new Map<IPFamily, Written>()
      const scripts: string[] = []
      for (const [family, of] of decisions) {
        const { script, after } = changeTo(known ? written.get(family) : undefined, of, family)
        scripts.push(known || script !== '' ? script : removal(family))
        if (after) next.set(family, after)
      }
      await nft(scripts.join(''))
      for (const { sets } of decisions.values()) for (const set of sets.values()) set.written()
      if ((written.size === 0) !== (next.size === 0)) log.info(`network policies are ${next.size > 0 ? '' : 'no longer '}in force`)
      written = next
      // Other sets know nothing of what these have written.
      known = mine === following
      pause.reset()
      for (const { done } of waiting) done()
    } catch (error) {
      // The kernel changed nothing; perhaps it does not hold what we think, so everything is written next time.
      known = false
      wait = pause.next()
      for (const waiter of waiting) if (waiter.ips.some(ip => concerns(decisions, ip))) waiters.push(waiter)
      for (const waiter of waiting) if (!waiters.includes(waiter)) waiter.done()
      log.error({ err: (error as Error).message.slice(0, 2000), retryMs: wait }, 'network policies could not be written')
    }
    writing = false
    if (wait > 0 || waiters.length > 0 || pending()) schedule(wait)
  }
  /** Whether an address has, or is to have, rules: it may be new to a pod and have been another's. */
  const concerns = (decisions: ReadonlyMap<IPFamily, Decisions>, ip: string): boolean =>
    directions.some(d => families.some(f => decisions.get(f)?.isolated[d].has(ip) || written.get(f)?.elements.get(`${d}-pods`)?.has(ip)))
  /** Whether something was set since the last decision; deciding is cheap when nothing was. */
  const pending = (): boolean => (following ? [...following.states.values()].some(state => state.isStale()) : written.size > 0)

  void policies.synced.then(() => {
    started = true
    follow()
    schedule(0)
  })
  signal.addEventListener('abort', () => clearTimeout(timer), { once: true })

  return {
    async enforce(pod, ips) {
      const uid = pod.metadata.uid ?? ''
      own.set(uid, { pod, ips })
      for (const [family, state] of following?.states ?? []) state.setPod(uid, podFacts(pod, true, family, ips))
      if (!started && isStatic(pod)) return
      await within(policies.synced, 'network policies are not known yet')
      if (!following) return
      await within(following.synced, 'the pods that network policies speak of are not known yet')
      const { promise, resolve } = Promise.withResolvers<void>()
      waiters.push({ ips, done: resolve })
      schedule(0)
      await within(promise, 'network policies could not be written')
    },
    release(uid) {
      own.delete(uid)
      for (const state of following?.states.values() ?? []) state.setPod(uid, undefined)
      schedule()
    },
  }
}

async function within(promise: Promise<unknown>, otherwise: string): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(otherwise)), PATIENCE_MS)
  await Promise.race([promise, late]).finally(() => clearTimeout(timer))
}
