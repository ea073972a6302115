/**
 * Leader election by a Lease, with client-go's rules: k8s.io/client-go/tools/leaderelection. Expiry is judged by when this process saw the
 * lease change, on its own monotonic clock, so that clocks of different machines do not matter.
 */
import { leases } from '../api/kinds.ts'
import type { Lease } from '../api/coordination/lease.ts'
import type { Logger } from '../component/log.ts'
import { isStatus } from '../machinery/status.ts'
import { formatMicroTime } from '../machinery/time.ts'
import { backoff, sleep } from './backoff.ts'
import type { Client } from './client.ts'
import type { EventRecorder } from './events.ts'
import type { Leadership } from './leadership.ts'

export interface ElectionOptions {
  client: Client
  /** Of the Lease: `kube-system` and the component's name. */
  namespace: string
  name: string
  /** No two processes ever have the same, not even one after the other. */
  identity: string
  /** Learns until when the lease is held. The election's own client must not wait for it. */
  leadership: Leadership
  /** A deputy gives the lease back when one that is preferred asks for it. */
  preference?: 'preferred' | 'deputy' | undefined
  leaseDurationMs: number
  renewDeadlineMs: number
  retryPeriodMs: number
  log: Logger
  recorder?: EventRecorder
  /**
   * Resolves true when the process of that identity has ended, false when nobody can tell or the signal aborts. What it has sent by then
   * counts as done: a holder that has ended is followed without waiting for its lease to expire.
   */
  untilEnded?: (identity: string, signal: AbortSignal) => Promise<boolean>
  /**
   * Called once when the lease is held; its signal aborts when it is lost or the election is stopped. Release waits for what it returns.
   */
  onStartedLeading: (signal: AbortSignal) => void | Promise<void>
}

/** What a candidate knows of the lease. */
export interface Observation {
  readonly lease: Lease
  /** When (performance.now()) it saw it change; later by what it could not look. */
  readonly at: number
  /** When it looked last. */
  readonly looked: number
}

/**
 * The lease as it is read at `clock`. `blind`: attempts to read it have failed since the look before. Time in which nobody could read the
 * lease is no time in which its holder did not renew it; what was counted before still counts, as a holder that died then stays dead.
 */
export function observe(before: Observation | undefined, lease: Lease, clock: number, blind: boolean): Observation {
  const [was, now] = [before?.lease.spec, lease.spec]
  const same = was && was.renewTime === now?.renewTime && was.holderIdentity === now?.holderIdentity
  if (!before || !same) return { lease, at: clock, looked: clock }
  return { lease, at: blind ? before.at + clock - before.looked : before.at, looked: clock }
}

/** Whether `identity` may take the lease: nobody holds it, it does itself, or the holder has not renewed for the duration it promised. */
export function mayAcquire(observed: Pick<Observation, 'lease' | 'at'>, identity: string, clock: number): boolean {
  const holder = observed.lease.spec?.holderIdentity ?? ''
  return holder === '' || holder === identity || observed.at + (observed.lease.spec?.leaseDurationSeconds ?? 0) * 1000 <= clock
}

/** Of a Lease, who asks for it. Upstream's `preferredHolder` is of coordinated elections, which are off. */
const preferredHolder = 'coxswain.io/preferred-holder'
const askedFor = ({ metadata }: Lease): boolean => metadata.annotations?.[preferredHolder] !== undefined
function withoutAsking({ [preferredHolder]: _, ...others }: Record<string, string> = {}): Record<string, string> {
  return others
}

/** The lease as its new holder, or the same holder again, writes it. */
export function held(lease: Lease, identity: string, leaseDurationMs: number, time: string): Lease {
  const same = lease.spec?.holderIdentity === identity
  return {
    ...lease,
    ...(same || !askedFor(lease) ? {} : { metadata: { ...lease.metadata, annotations: withoutAsking(lease.metadata.annotations) } }),
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

/**
 * Resolves 'lost' when another has taken the lease, 'stopped' when `signal` aborted, 'given' when one that is preferred asked for the
 * lease; in the last two cases it is released. A leader that cannot renew before the deadline stops leading in that `leadership` holds its
 * writes back; when it finds the lease still its own, nobody has led meanwhile, and it goes on.
 */
export async function leaderElect(options: ElectionOptions, signal: AbortSignal): Promise<'lost' | 'given' | 'stopped'> {
  const { client, namespace, name, identity, leadership, log } = options
  let observed: Observation | undefined
  /** The last attempt failed. */
  let blind = false
  let reported = ''
  /** The holder whose end is waited for, until `stop`; `ended` aborts when it has come. */
  let watched = { holder: '', ended: new AbortController(), stop: new AbortController() }
  function watch(holder: string): void {
    if (!options.untilEnded || holder === watched.holder) return
    watched.stop.abort()
    const [ended, stop] = [new AbortController(), new AbortController()]
    watched = { holder, ended, stop }
    void options.untilEnded(holder, AbortSignal.any([signal, stop.signal])).then(seen => {
      if (!seen) return
      log.info({ lease: name, holder }, 'the process of the leader has ended')
      ended.abort()
    })
  }

  /** `taken`: another holds the lease and may still work; `asked`: it is still held, and to be given to one that is preferred. */
  type Result = 'held' | 'taken' | 'asked'
  const won = (lease: Lease, started: number): Result => {
    const now = performance.now()
    observed = { lease, at: now, looked: now }
    // From before the request: the others count from when they see it.
    leadership.extend(started + options.renewDeadlineMs)
    return 'held'
  }
  async function acquireOrRenew(leads: boolean): Promise<Result> {
    const started = performance.now()
    if (leads) {
      const renewed = await client
        .update(leases, held(observed!.lease, identity, options.leaseDurationMs, formatMicroTime()))
        .catch((e: unknown) => {
          // Changed by an attempt that was given up, or by another: look.
          if (!isStatus(e, 'Conflict') && !isStatus(e, 'NotFound')) throw e
        })
      if (renewed) return won(renewed, started)
    }
    let current: Lease
    try {
      current = await client.get(leases, namespace, name)
    } catch (e) {
      if (!isStatus(e, 'NotFound')) throw e
      const time = formatMicroTime()
      const leaseDurationSeconds = Math.ceil(options.leaseDurationMs / 1000)
      const spec = { holderIdentity: identity, leaseDurationSeconds, acquireTime: time, renewTime: time, leaseTransitions: 0 }
      return won(await client.create(leases, namespace, { metadata: { name, namespace }, spec } as Lease), started)
    }
    const { spec } = current
    observed = observe(observed, current, performance.now(), blind)
    blind = false
    const holder = spec?.holderIdentity ?? ''
    const follows = holder === watched.holder && watched.ended.signal.aborted
    if (leads ? holder !== identity : !follows && !mayAcquire(observed, identity, performance.now())) {
      watch(holder)
      if (!leads && options.preference === 'preferred' && !askedFor(current)) {
        const annotations = { ...current.metadata.annotations, [preferredHolder]: identity }
        await client.update(leases, { ...current, metadata: { ...current.metadata, annotations } })
      }
      if (reported !== holder) log.info({ lease: name, holder: (reported = holder) }, 'another instance is the leader')
      return 'taken'
    }
    if (leads && options.preference === 'deputy' && askedFor(current)) return 'asked'
    return won(await client.update(leases, held(current, identity, options.leaseDurationMs, formatMicroTime())), started)
  }
  async function attempt(leads: boolean): Promise<Result | 'failed'> {
    // An attempt that is given up may still succeed: that counts, but nobody waits for it.
    const limitMs = options.renewDeadlineMs / 2
    const late = new AbortController()
    try {
      return await Promise.race([
        acquireOrRenew(leads),
        sleep(limitMs, AbortSignal.any([signal, late.signal])).then(() =>
          Promise.reject(new Error(`no answer for ${Math.round(limitMs)} ms`)),
        ),
      ])
    } catch (e) {
      if (!signal.aborted) log.warn({ lease: name, err: (e as Error).message }, 'could not acquire or renew the lease')
      blind = true
      return 'failed'
    } finally {
      late.abort()
    }
  }
  /** A candidate looks again when the lease expires, should that come first. */
  const untilExpiry = (): number =>
    observed ? observed.at + (observed.lease.spec?.leaseDurationSeconds ?? 0) * 1000 - performance.now() : Infinity

  // While nothing answers (the API server is starting as well) try sooner than while somebody else leads.
  const pause = backoff(100, options.retryPeriodMs)
  while (!signal.aborted) {
    const result = await attempt(false)
    if (result === 'held') break
    if (result === 'failed') await sleep(pause.next(), signal)
    else {
      pause.reset()
      const ms = Math.max(1, Math.min(options.retryPeriodMs * (1 + Math.random() * 0.2), untilExpiry()))
      await sleep(ms, AbortSignal.any([signal, watched.ended.signal]))
    }
  }
  watched.stop.abort()
  if (signal.aborted) {
    if (leadership.held) await release()
    return 'stopped'
  }
  log.info({ lease: name, identity }, 'became the leader')
  const subject = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: observed!.lease.metadata }
  options.recorder?.event(subject, 'Normal', 'LeaderElection', `${identity} became leader`)
  const leading = new AbortController()
  const work = options.onStartedLeading(AbortSignal.any([leading.signal, signal]))
  let given = false
  try {
    pause.reset()
    let led = true
    while (!signal.aborted) {
      await sleep(led ? options.retryPeriodMs : pause.next(), signal)
      if (signal.aborted) break
      const result = await attempt(true)
      if (result === 'taken') {
        log.error({ lease: name, identity }, 'lost the lease')
        return 'lost'
      }
      if (result === 'asked') {
        log.info({ lease: name, identity }, 'gives the lease to one that is preferred')
        given = true
        return 'given'
      }
      if (leadership.held) pause.reset()
      if (leadership.held !== led)
        log.warn(
          { lease: name, identity },
          (led = leadership.held) ? 'leads again' : 'could not renew the lease in time: what it wants to write waits',
        )
    }
    return 'stopped'
  } finally {
    leading.abort()
    if (signal.aborted || given) {
      await Promise.race([work, new Promise(resolve => setTimeout(resolve, 2000).unref())])
      await release()
    }
  }

  async function release(): Promise<void> {
    const free = async (): Promise<void> => {
      // Read again: the last renewal may have been given up before its answer came.
      const lease = await client.get(leases, namespace, name)
      if (lease.spec?.holderIdentity !== identity) return
      await client.update(leases, {
        ...lease,
        spec: { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: formatMicroTime(), acquireTime: formatMicroTime() },
      })
    }
    await Promise.race([free(), new Promise(resolve => setTimeout(resolve, 1000).unref())]).catch(() => {})
  }
}
