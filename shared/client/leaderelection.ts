/**
 * Leader election by a Lease, with client-go's rules: k8s.io/client-go/tools/leaderelection. Expiry is judged by when this process saw the lease
 * change, on its own monotonic clock, so that clocks of different machines do not matter.
 */
import { leases } from '../api/kinds.ts'
import type { Lease } from '../api/coordination/lease.ts'
import type { Logger } from '../component/log.ts'
import { isStatus } from '../machinery/status.ts'
import { formatMicroTime } from '../machinery/time.ts'
import { backoff, sleep } from './backoff.ts'
import type { Client } from './client.ts'
import type { EventRecorder } from './events.ts'

export interface ElectionOptions {
  client: Client
  /** Of the Lease: `kube-system` and the component's name. */
  namespace: string
  name: string
  /** Unique among the candidates. A process that finds itself the holder goes on at once: its predecessor of that identity must be gone. */
  identity: string
  leaseDurationMs: number
  renewDeadlineMs: number
  retryPeriodMs: number
  log: Logger
  recorder?: EventRecorder
  /** Called once when the lease is held; its signal aborts when it is lost or the election is stopped. Release waits for what it returns. */
  onStartedLeading: (signal: AbortSignal) => void | Promise<void>
}

/** What a candidate knows of the lease: the object and when (performance.now()) it saw it change. */
export interface Observation {
  lease: Lease
  at: number
}

/** Whether `identity` may take the lease: nobody holds it, it does itself, or the holder has not renewed for the duration it promised. */
export function mayAcquire(observed: Observation, identity: string, clock: number): boolean {
  const holder = observed.lease.spec?.holderIdentity ?? ''
  return holder === '' || holder === identity || observed.at + (observed.lease.spec?.leaseDurationSeconds ?? 0) * 1000 <= clock
}

/** The lease as its new holder, or the same holder again, writes it. */
export function held(lease: Lease, identity: string, leaseDurationMs: number, time: string): Lease {
  const same = lease.spec?.holderIdentity === identity
  return {
    ...lease,
    spec: {
      ...lease.spec,
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(leaseDurationMs / 1000),
      acquireTime: same ? (lease.spec?.acquireTime ?? time) : time,
      renewTime: time,
      leaseTransitions: (lease.spec?.leaseTransitions ?? 0) + (same ? 0 : 1),
    },
  }
}

/** Resolves 'lost' when the lease could not be renewed in time, 'stopped' when `signal` aborted (the lease is then released). */
export async function leaderElect(options: ElectionOptions, signal: AbortSignal): Promise<'lost' | 'stopped'> {
  const { client, namespace, name, identity, log } = options
  let observed: Observation | undefined
  let reported = ''

  async function acquireOrRenew(): Promise<boolean> {
    let current: Lease
    try {
      current = await client.get(leases, namespace, name)
    } catch (e) {
      if (!isStatus(e, 'NotFound')) throw e
      const time = formatMicroTime()
      const leaseDurationSeconds = Math.ceil(options.leaseDurationMs / 1000)
      const spec = { holderIdentity: identity, leaseDurationSeconds, acquireTime: time, renewTime: time, leaseTransitions: 0 }
      observed = { lease: await client.create(leases, namespace, { metadata: { name, namespace }, spec } as Lease), at: performance.now() }
      return true
    }
    const { spec } = current
    const before = observed?.lease.spec
    if (!before || before.renewTime !== spec?.renewTime || before.holderIdentity !== spec?.holderIdentity) observed = { lease: current, at: performance.now() }
    if (!mayAcquire(observed!, identity, performance.now())) {
      if (reported !== spec?.holderIdentity) log.info({ lease: name, holder: (reported = spec?.holderIdentity ?? '') }, 'another instance is the leader')
      return false
    }
    observed = { lease: await client.update(leases, held(current, identity, options.leaseDurationMs, formatMicroTime())), at: performance.now() }
    return true
  }
  async function attempt(limitMs: number): Promise<boolean> {
    try {
      // The client's own deadline may be longer than what is left of the lease.
      return await Promise.race([acquireOrRenew(), sleep(limitMs, signal).then(() => Promise.reject(new Error(`no answer for ${Math.round(limitMs)} ms`)))])
    } catch (e) {
      if (!signal.aborted) log.warn({ lease: name, err: (e as Error).message }, 'could not acquire or renew the lease')
      return false
    }
  }

  // While nothing answers (the API server is starting as well) try sooner than while somebody else leads.
  const pause = backoff(100, options.retryPeriodMs)
  while (!signal.aborted && !(await attempt(options.renewDeadlineMs)))
    await sleep(reported ? options.retryPeriodMs * (1 + Math.random() * 0.2) : pause.next(), signal)
  if (signal.aborted) return 'stopped'
  log.info({ lease: name, identity }, 'became the leader')
  const subject = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: observed!.lease.metadata }
  const announce = (what: string) => options.recorder?.event(subject, 'Normal', 'LeaderElection', `${identity} ${what}`)
  announce('became leader')
  const leading = new AbortController()
  const work = options.onStartedLeading(AbortSignal.any([leading.signal, signal]))
  try {
    let renewed = performance.now()
    while (!signal.aborted) {
      await sleep(options.retryPeriodMs, signal)
      if (signal.aborted) break
      const started = performance.now()
      if (await attempt(Math.max(renewed + options.renewDeadlineMs - started, 1))) renewed = started
      if (performance.now() - renewed >= options.renewDeadlineMs) {
        log.error({ lease: name, identity }, 'lost the lease')
        announce('stopped leading')
        return 'lost'
      }
    }
    return 'stopped'
  } finally {
    leading.abort()
    if (signal.aborted) {
      await Promise.race([work, new Promise(resolve => setTimeout(resolve, 2000).unref())])
      await release()
    }
  }

  async function release(): Promise<void> {
    const lease = observed!.lease
    const spec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: formatMicroTime(), acquireTime: formatMicroTime() }
    await Promise.race([client.update(leases, { ...lease, spec }), new Promise(resolve => setTimeout(resolve, 1000).unref())]).catch(() => {})
  }
}
