/** postStart and preStop: what a container wants done around its life. The rules and words are those of upstream's lifecycle handlers. */
import { Buffer } from 'node:buffer'
import type { Container } from '#shared/api/core/podspec/container.ts'
import type { EphemeralContainer } from '#shared/api/core/podspec/ephemeralcontainer.ts'
import type { HTTPGetAction, LifecycleHandler } from '#shared/api/core/podspec/probe.ts'
import { sleep } from '#shared/client/backoff.ts'
import type { PodContext } from '../context.ts'
import { podText } from '../pod/containers.ts'
import { ExecFailedError } from '../../runtime/runtime.ts'
import { notStarted } from '../probes/exec.ts'
import { getHttp, httpTarget } from '../probes/http.ts'
import { resolvePort } from '../probes/prober.ts'

/** Upstream gives a request no end of its own. */
const requestTimeoutMs = 600_000
const maxOutput = 10 * 1024

/** The text of a command's error, and what it wrote. Undefined when it succeeded. */
async function execError(ctx: PodContext, directory: string, command: readonly string[], signal: AbortSignal): Promise<string | undefined> {
  const [all, stderr]: Uint8Array[][] = [[], []]
  let size = 0
  const collect = (data: Uint8Array, ...into: Uint8Array[][]): void => {
    if (size < maxOutput) for (const chunks of into) chunks.push(data)
    size += data.length
  }
  const text = (chunks: Uint8Array[] | undefined): string =>
    Buffer.concat(chunks ?? [])
      .toString('utf8')
      .slice(0, maxOutput)
  let error: string
  try {
    const exitCode = await ctx.kubelet.runtime.exec(directory, {
      args: [...command],
      tty: false,
      stdout: data => collect(data, all!),
      stderr: data => collect(data, all!, stderr!),
      signal,
    })
    if (exitCode === 0) return undefined
    error = `command '${command.join(' ')}' exited with ${exitCode}: ${text(stderr)}`
  } catch (e) {
    error = e instanceof ExecFailedError ? notStarted(e) : (e as Error).message
  }
  return `${error}, message: ${JSON.stringify(text(all))}`
}

/** Any answer is a success; a server that does not speak TLS is asked without, and an event tells. */
async function httpError(ctx: PodContext, container: Container | EphemeralContainer, action: HTTPGetAction, signal: AbortSignal) {
  const target = httpTarget(action, ctx.facts().podIP, resolvePort(action.port, container))
  const answer = await getHttp(target, requestTimeoutMs, signal)
  if (!('error' in answer)) return undefined
  if (!answer.plain) return answer.error
  const { authorization: _, Authorization: __, ...headers } = target.headers
  const again = await getHttp({ url: new URL(target.url.href.replace(/^https:/, 'http:')), headers }, requestTimeoutMs, signal)
  if ('error' in again) return answer.error
  const { host } = target.url
  ctx.event('Warning', 'LifecycleHTTPFallback', `request to HTTPS lifecycle hook ${host} got HTTP response, retry with HTTP succeeded`)
  return undefined
}

/** Throws with what went wrong. Ends early, and quietly, on `signal`. */
export async function runHook(
  ctx: PodContext,
  container: Container | EphemeralContainer,
  directory: string,
  handler: LifecycleHandler,
  signal: AbortSignal,
): Promise<void> {
  const { exec, httpGet } = handler
  if (handler.sleep) return await sleep(handler.sleep.seconds * 1000, signal)
  const where = `for Container "${container.name}" in Pod "${podText(ctx.pod)}" failed - error:`
  let error: string | undefined
  if (exec) error = await execError(ctx, directory, exec.command ?? [], signal)
  else if (httpGet) error = await httpError(ctx, container, httpGet, signal).catch((e: Error) => e.message)
  // tcpSocket is in the API, but nobody has ever carried it out.
  else throw new Error(`Cannot run handler: invalid handler: ${JSON.stringify(handler)}`)
  if (error === undefined || signal.aborted) return
  throw new Error(
    exec
      ? `Exec lifecycle hook ([${(exec.command ?? []).join(' ')}]) ${where} ${error}`
      : `HTTP lifecycle hook (${httpGet?.path ?? ''}) ${where} ${error}`,
  )
}
