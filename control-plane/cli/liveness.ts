/**
 * A process that runs but does not answer is killed, and so restarted, as a kubelet does it for the API server's static pod by its liveness
 * probe.
 */
import { Agent, request } from 'node:https'
import { setTimeout as delay } from 'node:timers/promises'
import type { Pair } from '#shared/certificates/certificate.ts'

export interface LivenessProbe {
  /** One question; rejects when there is no answer. */
  ask(signal: AbortSignal): Promise<void>
  /** How many in a row must fail. More than one, so that a supervisor that was paused itself does not blame others. */
  failureThreshold: number
}

const periodMs = 2000
const timeoutMs = 5000

/** GET /livez of one API server. Any answer will do: a registry that is away is nothing that a restart of the API server helps against. */
export function livez(host: string, port: number): LivenessProbe {
  const get = getter(host, port, '/livez')
  return { failureThreshold: 2, ask: async signal => void (await get(signal)) }
}

/**
 * Whether the store answers the API servers: a nats-server may run and keep its connections but be stuck, as after its disk was full. They
 * are the witnesses, asked with the administrator's certificate, as single checks are not for everybody: without one there is no verdict.
 */
export function storeAnswers(host: string, port: number, admin: () => Pair | undefined): LivenessProbe {
  let get: ReturnType<typeof getter> | undefined
  return {
    failureThreshold: 8,
    async ask(signal) {
      get ??= getter(host, port, '/livez/etcd', admin())
      const status = await get(signal).catch(() => 200)
      if (status >= 500) throw new Error('the store does not answer')
    },
  }
}

/** Resolves with the status of the answer. */
function getter(host: string, port: number, path: string, as?: Pair): (signal: AbortSignal) => Promise<number> {
  // As kubelets do, it looks for life, not for a name in the certificate.
  const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false, ...as })
  return signal =>
    new Promise((resolve, reject) => {
      const req = request({ agent, host, port, path, signal }, res => {
        res.resume()
        res.once('error', reject)
        res.once('end', () => resolve(res.statusCode ?? 0))
      })
      req.once('error', reject)
      req.end()
    })
}

/** Resolves true when the probe has failed several times in a row, false when `signal` aborts. */
export async function untilUnresponsive(probe: LivenessProbe, signal: AbortSignal): Promise<boolean> {
  for (let failures = 0; !signal.aborted;) {
    await delay(periodMs, undefined, { signal }).catch(() => {})
    if (signal.aborted) break
    const answered = await probe.ask(AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])).then(
      () => true,
      () => false,
    )
    failures = answered ? 0 : failures + 1
    if (failures >= probe.failureThreshold) return !signal.aborted
  }
  return false
}
