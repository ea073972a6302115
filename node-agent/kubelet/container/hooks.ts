/** postStart and preStop: what a container wants done around its life. */
import type { Container } from '#shared/api/core/podspec/container.ts'
import type { EphemeralContainer } from '#shared/api/core/podspec/ephemeralcontainer.ts'
import type { LifecycleHandler } from '#shared/api/core/podspec/probe.ts'
import { sleep } from '#shared/client/backoff.ts'
import type { PodContext } from '../context.ts'
import { execOutcome } from '../probes/exec.ts'
import { httpTarget, probeHttp } from '../probes/http.ts'
import { resolvePort } from '../probes/prober.ts'
import { probeTcp } from '../probes/tcp.ts'

const requestTimeoutMs = 30_000

/** Throws with what went wrong. Ends early, and quietly, on `signal`. */
export async function runHook(
  ctx: PodContext,
  container: Container | EphemeralContainer,
  directory: string,
  handler: LifecycleHandler,
  signal: AbortSignal,
): Promise<void> {
  const host = ctx.facts().podIP
  const ended = new Promise<undefined>(resolve => signal.addEventListener('abort', () => resolve(undefined), { once: true }))
  if (handler.sleep) return await sleep(handler.sleep.seconds * 1000, signal)
  if (handler.exec) {
    const command = handler.exec.command ?? []
    const outcome = await Promise.race([execOutcome(ctx.kubelet.runtime, directory, command, undefined, signal), ended])
    if (outcome && outcome.result !== 'success') {
      throw new Error(
        outcome.exitCode === undefined
          ? outcome.output
          : `command '${command.join(' ')}' exited with ${outcome.exitCode}: ${outcome.output}, message: ${JSON.stringify(outcome.output)}`,
      )
    }
    return
  }
  const { httpGet, tcpSocket } = handler
  if (!httpGet && !tcpSocket) throw new Error(`invalid handler: ${JSON.stringify(handler)}`)
  const outcome = await Promise.race([
    httpGet
      ? probeHttp(httpTarget(httpGet, host, resolvePort(httpGet.port, container)), requestTimeoutMs)
      : probeTcp(tcpSocket!.host || host, resolvePort(tcpSocket!.port, container), requestTimeoutMs),
    ended,
  ])
  if (outcome && outcome.result !== 'success') throw new Error(outcome.output)
}
