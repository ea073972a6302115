/** exec probes and hooks: a command in the container; exit code 0 is success. */
import { Buffer } from 'node:buffer'
import type { ContainerRuntime } from '../../runtime/runtime.ts'
import type { Outcome } from './state.ts'

const maxOutput = 10 * 1024

/** Why a command was never run, in containerd's words; undefined when it was. Then the probe says nothing of the container. */
function notStarted(exitCode: number, output: string): string | undefined {
  const [, why] = exitCode === 126 ? (/exec failed: unable to start container process: (.*?)(?:: unknown)?"?\s*$/m.exec(output) ?? []) : []
  const desc = 'failed to exec in container: failed to start exec: OCI runtime exec failed: exec failed: unable to start container process'
  return why === undefined ? undefined : `rpc error: code = Unknown desc = ${desc}: ${why.replaceAll('\\"', '"')}: unknown`
}

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
    const why = notStarted(exitCode, output())
    if (why !== undefined) return { result: 'unknown', output: why, exitCode }
    return { result: exitCode === 0 ? 'success' : 'failure', output: output(), exitCode }
  } catch (e) {
    if (deadline?.aborted) return timedOut()
    return { result: 'unknown', output: (e as Error).message }
  }
}
