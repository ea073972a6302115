/** Logs that were set aside are compressed, as upstream's are: all but the newest, and not while they come faster than that is worth. */
import { createReadStream, createWriteStream } from 'node:fs'
import { readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { logFiles } from './read.ts'

/** A file that was written this long ago will stay for a while. */
const settledMs = 10_000

/** Compresses the rotated files of a run, one after the other. A reader finds each line once, whenever it looks. */
export async function compressRotated(path: string, now = Date.now()): Promise<void> {
  await removeUnfinished(path)
  for (const file of (await logFiles(path)).slice(0, -2)) {
    if (file.endsWith('.gz')) continue
    const info = await stat(file).catch(() => undefined)
    if (!info || now - info.mtimeMs < settledMs) continue
    // The fastest: text of logs becomes a tenth with any.
    await pipeline(createReadStream(file), createGzip({ level: 1 }), createWriteStream(`${file}.gz.tmp`))
    await rename(`${file}.gz.tmp`, `${file}.gz`)
    await rm(file, { force: true })
  }
}

/** What a kubelet was at when it was killed. */
async function removeUnfinished(path: string): Promise<void> {
  const names = await readdir(dirname(path)).catch(() => [])
  const unfinished = names.filter(n => n.startsWith(`${basename(path)}.`) && n.endsWith('.gz.tmp'))
  await Promise.all(unfinished.map(n => rm(join(dirname(path), n), { force: true })))
}
