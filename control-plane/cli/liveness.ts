/** A process that runs but does not answer is killed, and so restarted, as a kubelet does it for the API server's static pod by its liveness probe. */
import { Agent, request } from 'node:https'
import { setTimeout as delay } from 'node:timers/promises'

/** One question; rejects when there is no answer. */
export type LivenessProbe = (signal: AbortSignal) => Promise<void>

const periodMs = 2000
const timeoutMs = 5000
/** More than one, so that a supervisor that was paused itself does not blame others. */
const failureThreshold = 2

/** GET /livez of one API server. Any answer will do: a registry that is away is nothing that a restart of the API server helps against. */
export function livez(host: string, port: number): LivenessProbe {
  // As kubelets do, it looks for life, not for a name in the certificate.
  const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false })
  return signal =>
    new Promise((resolve, reject) => {
      const req = request({ agent, host, port, path: '/livez', signal }, res => {
        res.resume()
        res.once('error', reject)
        res.once('end', resolve)
      })
      req.once('error', reject)
      req.end()
    })
}

/** Resolves true when the probe has failed several times in a row, false when `signal` aborts. */
export async function untilUnresponsive(probe: LivenessProbe, signal: AbortSignal): Promise<boolean> {
  for (let failures = 0; !signal.aborted; ) {
    await delay(periodMs, undefined, { signal }).catch(() => {})
    if (signal.aborted) break
    const answered = await probe(AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])).then(
      () => true,
      () => false,
    )
    failures = answered ? 0 : failures + 1
    if (failures >= failureThreshold) return !signal.aborted
  }
  return false
}
