/** The logs of a cluster's processes: printing one, going on as it grows, and keeping all of them small. */
import { createReadStream, statSync, watch } from 'node:fs'
import { copyFile, readdir, stat, truncate } from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'

/**
 * Writes the file to standard output; with `follow`, until the process is interrupted. A file that shrinks is read from its start again.
 */
export async function followFile(file: string, follow: boolean): Promise<void> {
  let at = 0
  const drain = async (): Promise<void> => {
    const { size } = statSync(file)
    if (size < at) at = 0
    if (size === at) return
    await pipeline(createReadStream(file, { start: at, end: size - 1 }), process.stdout, { end: false })
    at = size
  }
  await drain()
  if (!follow) return
  let draining = Promise.resolve()
  watch(file, () => (draining = draining.then(drain)))
  await new Promise(() => {})
}

/** A log that is longer is moved to `NAME.log.1`, in the place of an older one. */
const maxLogBytes = 32 * 1024 * 1024
const rotateMs = 10_000

/**
 * Moves logs of a folder that are too long. Their writers hold the file open, for appending, so it is copied and emptied: what is written
 * between the two is lost.
 */
export async function rotate(folder: string, maxBytes = maxLogBytes): Promise<void> {
  for (const name of await readdir(folder)) {
    const file = path.join(folder, name)
    if (!name.endsWith('.log') || (await stat(file)).size <= maxBytes) continue
    await copyFile(file, `${file}.1`)
    await truncate(file)
  }
}

/** Keeps the logs of a folder small; returns how to stop. */
export function rotateLogs(folder: string): () => void {
  let busy = Promise.resolve()
  // What goes wrong (a full disk) is tried again.
  const timer = setInterval(() => (busy = busy.then(() => rotate(folder)).catch(() => {})), rotateMs)
  timer.unref()
  return () => clearInterval(timer)
}
