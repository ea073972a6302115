/** The moment between a container's release and its program. */
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

/** What runc calls the process that becomes the container's. A signal that it gets is lost: it ends with exit code 2. */
const runcInit = 'runc:[2:INIT]'
/** Who takes longer is not waited for. */
const longestMs = 1_000
const lookMs = 5

/**
 * Resolves when the process has become the container's program, or is gone; true when that took time. Nothing tells of an exec: it is
 * looked for, which on an idle machine is not needed.
 */
export async function programBegins(pid: number): Promise<boolean> {
  const end = performance.now() + longestMs
  for (let waited = false; ; waited = true) {
    const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')
    if (name.trim() !== runcInit || performance.now() > end) return waited
    await sleep(lookMs)
  }
}
