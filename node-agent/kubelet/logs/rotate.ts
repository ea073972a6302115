/** Rotation: a log of 10 MiB is set aside, five files a run are kept, as upstream's containerLogMaxSize and containerLogMaxFiles. */
import { rename, rm, stat } from 'node:fs/promises'
import type { ContainerRuntime } from '../../runtime/runtime.ts'
import { logFiles } from './read.ts'

export interface LogLimits {
  maxBytes: number
  /** Of one run of a container. */
  maxFiles: number
}
export const defaultLogLimits: LogLimits = { maxBytes: 10 * 1024 * 1024, maxFiles: 5 }

/** Resolves true when the log was rotated. */
export async function rotateLog(
  runtime: ContainerRuntime,
  directory: string,
  path: string,
  { maxBytes, maxFiles }: LogLimits,
): Promise<boolean> {
  const size = await stat(path)
    .then(s => s.size)
    .catch(() => 0)
  if (size < maxBytes) return false
  await rename(path, await rotatedName(path))
  await runtime.reopenLog(directory)
  // A log that grew far beyond its size before anybody looked counts as several.
  let bytes = 0
  for (const [n, file] of (await logFiles(path)).slice(0, -1).reverse().entries()) {
    bytes += await stat(file).then(
      s => s.size,
      () => 0,
    )
    if (n >= maxFiles - 1 || (n > 0 && bytes > maxFiles * maxBytes)) await rm(file, { force: true })
  }
  return true
}

/** A name with the time, which sorts behind those of earlier rotations and is not taken: two may be in one millisecond. */
async function rotatedName(path: string): Promise<string> {
  for (let time = Date.now(); ; time++) {
    const stamp = new Date(time).toISOString().slice(0, 23).replace(/[-:.]/g, '').replace('T', '-')
    const name = `${path}.${stamp}`
    const taken = await stat(name).then(
      () => true,
      () => false,
    )
    if (!taken) return name
  }
}
