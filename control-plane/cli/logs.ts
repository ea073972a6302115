/** Printing a file, and going on as it grows. */
import { createReadStream, statSync, watch } from 'node:fs'
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
