/** Removing what containers have written: paths of any length, names that are no text, anything that they left. */
import { rm } from 'node:fs/promises'
import { run } from './run.ts'

/** A tree of many files takes long; nothing else waits for it. */
const TIMEOUT_MS = 600_000

/**
 * Removes a file or a directory with all that is in it. Idempotent. What Node cannot remove, paths over 4,096 bytes and names that are not
 * UTF-8, the system's rm can; it does not go into other file systems.
 */
export async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true })
  } catch {
    await run('rm', ['-rf', ...(process.platform === 'linux' ? ['--one-file-system'] : []), '--', path], { timeoutMs: TIMEOUT_MS })
  }
}
