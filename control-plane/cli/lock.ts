/** A lock between processes: a file that only one can make, naming its owner. */
import { closeSync, existsSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

function ownerIsGone(lock: string): boolean {
  try {
    const pid = readFileSync(lock, 'utf8')
    // Between making the file and writing the pid it is empty: that owner gets a moment.
    return pid === '' ? Date.now() - statSync(lock).mtimeMs > 1000 : !existsSync(`/proc/${pid}`)
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
