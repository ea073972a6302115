/** exec probes and hooks: a command in the container; exit code 0 is success. */
import { Buffer } from 'node:buffer'
import { ExecFailedError, type ContainerRuntime } from '../../runtime/runtime.ts'
import type { Outcome } from './state.ts'

const maxOutput = 10 * 1024

/** That a command was never run, in containerd's words: a probe says nothing of its container then. */
export const notStarted = ({ message }: ExecFailedError): string =>
  `rpc error: code = Unknown desc = failed to exec in container: failed to start exec: OCI runtime exec failed: ${message}: unknown`

export async function execOutcome(
  runtime: ContainerRuntime,
  directory: string,
  command: readonly string[],
  timeoutMs: number | undefined,
  signal?: AbortSignal,
): Promise<Outcome & { exitCode?: number }> {
  const chunks: Uint8Array[] = []
  let size = 0
  const collect = (data: Uint8Array): void => {
    if (size < maxOutput) chunks.push(data)
    size += data.length
  }
  const deadline = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs)
  const signals = [deadline, signal].filter(s => s !== undefined)
  const output = (): string => Buffer.concat(chunks).toString('utf8').slice(0, maxOutput)
  const timedOut = (): Outcome => ({
    result: 'failure',
    output: `command timed out: ${JSON.stringify(command.join(' '))} timed out after ${timeoutMs! / 1000}s`,
  })
  try {
    const exitCode = await runtime.exec(directory, {
      args: [...command],
      tty: false,
      stdout: collect,
      stderr: collect,
      ...(signals.length > 0 ? { signal: AbortSignal.any(signals) } : {}),
    })
    if (deadline?.aborted) return timedOut()
    return { result: exitCode === 0 ? 'success' : 'failure', output: output(), exitCode }
  } catch (e) {
    if (deadline?.aborted) return timedOut()
    return { result: 'unknown', output: e instanceof ExecFailedError ? notStarted(e) : (e as Error).message }
  }
}
