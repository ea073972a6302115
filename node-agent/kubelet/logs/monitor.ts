/**
 * Looks after the sizes of the logs of running containers: nobody tells when a file has grown. Once a second, and sooner where a log has
 * grown so fast that it would be far beyond its size by then.
 */
import { statSync } from 'node:fs'
import { sleep } from '#shared/client/backoff.ts'
import type { Logger } from '#shared/component/log.ts'
import type { ContainerRuntime } from '../../runtime/runtime.ts'
import type { Kubelet } from '../kubelet.ts'
import { containerDirectory, logFile } from '../pod/directory.ts'
import { compressRotated } from './compress.ts'
import { defaultLogLimits, rotateLog, type LogLimits } from './rotate.ts'

const longestMs = 1_000
const shortestMs = 100

/** Milliseconds until a log of `size` bytes that has grown by `grown` in `overMs` should be looked at again. */
export function nextLook(
  size: number,
  grown: number,
  overMs: number,
  { maxBytes }: Pick<LogLimits, 'maxBytes'> = defaultLogLimits,
): number {
  if (grown <= 0) return longestMs
  const untilFull = (Math.max(0, maxBytes - size) / grown) * overMs
  return Math.min(longestMs, Math.max(shortestMs, untilFull))
}

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0

export async function rotateLogs(
  kubelet: Kubelet,
  runtime: ContainerRuntime,
  log: Logger,
  signal: AbortSignal,
  limits = defaultLogLimits,
): Promise<void> {
  let sizes = new Map<string, number>()
  let looked = performance.now()
  let compressing = Promise.resolve()
  for (let wait = longestMs; !signal.aborted;) {
    await sleep(wait, signal)
    const now = performance.now()
    const [before, overMs] = [sizes, now - looked]
    sizes = new Map()
    looked = now
    wait = longestMs
    for (const { state, directory, pod } of kubelet.workers()) {
      for (const [name, { current }] of Object.entries(state.containers)) {
        if (signal.aborted || current.state !== 'running') continue
        const path = logFile(directory, name, current.attempt)
        const size = sizeOf(path)
        const grown = size - (before.get(path) ?? 0)
        if (size >= limits.maxBytes) {
          const failed = (e: Error): void => log.warn({ pod: pod.metadata.name, container: name, err: e.message }, 'log not rotated')
          await rotateLog(runtime, containerDirectory(directory, name, current.attempt), path, limits).catch(failed)
          // One at a time, beside all else.
          compressing = compressing.then(() => compressRotated(path)).catch(failed)
        }
        const left = size >= limits.maxBytes ? 0 : size
        sizes.set(path, left)
        wait = Math.min(wait, nextLook(left, grown, overMs, limits))
      }
    }
  }
}
