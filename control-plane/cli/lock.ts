/** A lock between processes: a file that only one can make, naming its owner. */
import { closeSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

/** Also of another user's process, which may not be signalled. */
function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (e) {
    return (e as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function ownerIsGone(lock: string): boolean {
  try {
    const pid = readFileSync(lock, 'utf8')
    // Between making the file and writing the pid it is empty: that owner gets a moment.
    return pid === '' ? Date.now() - statSync(lock).mtimeMs > 1000 : !exists(Number(pid))
  } catch {
    return false
  }
}

/** Holds the lock `file` while `work` runs, waiting up to 10 s for it; a lock left by a dead process is taken over. */
export async function withLock<T>(file: string, work: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + 10_000
  for (let wait = 5; ; wait = Math.min(wait * 2, 200)) {
    try {
      const fd = openSync(file, 'wx', 0o600)
      writeFileSync(fd, String(process.pid))
      closeSync(fd)
      break
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== 'EEXIST') throw e
      if (Date.now() > deadline) throw new Error(`${file} is held by process ${readFileSync(file, 'utf8')}`)
      if (ownerIsGone(file)) rmSync(file, { force: true })
      else await delay(wait)
    }
  }
  try {
    return await work()
  } finally {
    rmSync(file, { force: true })
  }
}
