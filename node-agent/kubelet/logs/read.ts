/** Reads a container's log as `kubectl logs` wants it, and follows it until the container has ended, also across rotation. */
import { Buffer } from 'node:buffer'
import { createReadStream } from 'node:fs'
import { open, readdir, stat, type FileHandle } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { createGunzip } from 'node:zlib'
import { parseLine } from './cri.ts'
import { watchDirectory } from './follow.ts'
import { tailOffset } from './tail.ts'

export interface LogOptions {
  follow?: boolean
  tailLines?: number
  /** Older lines are left out. */
  since?: Date
  timestamps?: boolean
  limitBytes?: number
  /** One stream only; absent: both. */
  stream?: Stream
  /** Both streams come as stdout. */
  merged?: boolean
}
export interface LogSource {
  path: string
  /** Resolves when the container writes no more; following ends then. */
  ended: Promise<unknown>
}

type Stream = 'stdout' | 'stderr'
const chunk = 64 * 1024

/**
 * Rotated files of the same run, oldest first, then the current: `0.log.20260101-000000.gz`, `0.log.20260102-000000`, `0.log`. One that has
 * been compressed and not been removed yet is there once.
 */
export async function logFiles(path: string): Promise<string[]> {
  const name = basename(path)
  const names = (await readdir(dirname(path)).catch(() => [])).filter(n => n.startsWith(`${name}.`) && !n.endsWith('.tmp'))
  const plain = new Set(names)
  const once = names.filter(n => !(n.endsWith('.gz') && plain.has(n.slice(0, -3))))
  return [...once.sort().map(n => join(dirname(path), n)), path]
}

/** Formats lines; drops those before `since`. Holds back the last, unfinished line of what it was given. */
class Formatter {
  readonly #options: LogOptions
  #rest: Buffer = Buffer.alloc(0)
  #since: string | undefined
  /** The stream is in the middle of a line of output. */
  #within: { [stream: string]: boolean } = {}
  constructor(options: LogOptions) {
    this.#options = options
    this.#since = options.since?.toISOString()
  }
  /** What was written, in order: neighbours of one stream are one piece. */
  format(data: Buffer): { stream: Stream; data: Buffer }[] {
    const all = this.#rest.length > 0 ? Buffer.concat([this.#rest, data]) : data
    const end = all.lastIndexOf(0x0a) + 1
    this.#rest = Buffer.from(all.subarray(end))
    const out: { stream: Stream; text: string }[] = []
    if (end > 0) {
      // A letter for each byte: what was written may be no text, and a letter of more bytes may be torn between two entries.
      for (const line of all.toString('latin1', 0, end - 1).split('\n')) {
        const entry = parseLine(line)
        if (!entry || (this.#options.stream ?? entry.stream) !== entry.stream) continue
        if (this.#since !== undefined && before(entry.time, this.#since)) continue
        const stamp = this.#options.timestamps && !this.#within[entry.stream] ? `${entry.time.replace(/\+00:00$/, 'Z')} ` : ''
        this.#within[entry.stream] = entry.partial
        const text = stamp + entry.text + (entry.partial ? '' : '\n')
        const stream = this.#options.merged ? 'stdout' : entry.stream
        const last = out.at(-1)
        if (last?.stream === stream) last.text += text
        else out.push({ stream, text })
      }
    }
    return out.map(({ stream, text }) => ({ stream, data: Buffer.from(text, 'latin1') }))
  }
}
// Shims write local offsets or Z: compare as times, to the millisecond.
const before = (time: string, since: string): boolean => Date.parse(time) < Date.parse(since)

/** Streams the log to `send`, in order, waiting for each piece to be taken. Ends with the log, the limit, or `signal`. */
export async function readLog(
  source: LogSource,
  options: LogOptions,
  send: (stream: Stream, data: Buffer) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const formatter = new Formatter(options)
  let left = options.limitBytes ?? Infinity
  const stop = new AbortController()
  const either = AbortSignal.any([signal, stop.signal])
  const watcher = options.follow ? watchDirectory(dirname(source.path), either) : undefined
  let ended = !options.follow
  const markEnded = source.ended.then(() => {
    ended = true
    stop.abort()
  })
  markEnded.catch(() => {})
  const buffer = Buffer.alloc(chunk)

  async function show(read: Buffer): Promise<void> {
    for (const piece of formatter.format(read)) {
      const { stream } = piece
      const data = piece.data.subarray(0, Math.min(piece.data.length, left))
      left -= data.length
      if (data.length > 0) await send(stream, data)
    }
  }
  async function drain(file: FileHandle, from: number): Promise<number> {
    for (let at = from; ;) {
      if (signal.aborted || left <= 0) return at
      const { bytesRead } = await file.read(buffer, 0, chunk, at)
      if (bytesRead === 0) return at
      at += bytesRead
      await show(buffer.subarray(0, bytesRead))
    }
  }
  /** A file that was set aside, plain or compressed since it was listed; one that is gone is passed over. */
  async function showOld(path: string, from: number): Promise<void> {
    const plain = path.endsWith('.gz') ? undefined : await open(path).catch(() => undefined)
    if (plain) return void (await drain(plain, from).finally(() => plain.close()))
    for await (const data of uncompressed(path, from)) {
      if (signal.aborted || left <= 0) return
      await show(data)
    }
  }

  let file: FileHandle | undefined
  try {
    const files = await logFiles(source.path)
    const start = await startOf(files, options.tailLines)
    for (const path of files.slice(start.index, -1)) await showOld(path, path === files[start.index] ? start.offset : 0)
    file = await open(source.path).catch(() => undefined)
    let offset = start.index === files.length - 1 ? start.offset : 0
    for (;;) {
      const last = ended
      if (file) offset = await drain(file, offset)
      if (signal.aborted || left <= 0) return
      const moved = options.follow && (await stat(source.path).catch(() => undefined))
      if (moved && (!file || (await file.stat()).ino !== moved.ino)) {
        // Rotated: what the old file still got has been read; the new one begins.
        if (file) await drain(file, offset)
        await file?.close()
        file = await open(source.path).catch(() => undefined)
        offset = 0
        continue
      }
      // What was written before the end has been read when this look began after it.
      if (last || !watcher) return
      if (!ended) await watcher.changed()
    }
  } finally {
    watcher?.close()
    await file?.close().catch(() => {})
  }
}

/** In which file, and where in it, the last lines begin. */
async function startOf(files: readonly string[], tailLines: number | undefined): Promise<{ index: number; offset: number }> {
  if (tailLines === undefined) return { index: 0, offset: 0 }
  let wanted = tailLines
  for (let index = files.length - 1; index >= 0; index--) {
    const file = files[index]!.endsWith('.gz') ? undefined : await open(files[index]!).catch(() => undefined)
    if (!file) {
      const offset = await offsetWithin(files[index]!, wanted)
      if (offset.at > 0 || index === 0) return { index, offset: offset.at }
      wanted -= offset.lines
      if (wanted <= 0) return { index, offset: 0 }
      continue
    }
    try {
      const { size } = await file.stat()
      const offset = await tailOffset(file, size, wanted)
      if (offset > 0 || index === 0 || wanted === 0) return { index, offset }
      wanted -= await countLines(file, size)
      if (wanted <= 0) return { index, offset: 0 }
    } finally {
      await file.close()
    }
  }
  return { index: 0, offset: 0 }
}
async function countLines(file: FileHandle, size: number): Promise<number> {
  const buffer = Buffer.alloc(chunk)
  let lines = 0
  for (let at = 0; at < size; at += chunk) {
    const { bytesRead } = await file.read(buffer, 0, chunk, at)
    for (let i = 0; i < bytesRead; i++) if (buffer[i] === 0x0a) lines++
  }
  return lines
}

/** What is in a compressed file, from a place in it on; nothing of one that is not there. */
async function* uncompressed(path: string, from = 0): AsyncGenerator<Buffer> {
  const source = createReadStream(path.endsWith('.gz') ? path : `${path}.gz`)
  const plain = source.pipe(createGunzip())
  source.on('error', e => plain.destroy(e))
  let skip = from
  try {
    for await (const data of plain as AsyncIterable<Buffer>) {
      const part = data.subarray(Math.min(skip, data.length))
      skip -= data.length - part.length
      if (part.length > 0) yield part
    }
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'ENOENT') throw e
  } finally {
    source.destroy()
  }
}
/** Where the last `wanted` lines of a compressed file begin in what it holds, and how many lines there are. */
async function offsetWithin(path: string, wanted: number): Promise<{ at: number; lines: number }> {
  // As many ends of lines as there are before the ones that are wanted; a ring of the last ones.
  const ends: number[] = []
  let [lines, at] = [0, 0]
  for await (const data of uncompressed(path)) {
    for (let i = data.indexOf(10); i >= 0; i = data.indexOf(10, i + 1)) ends[lines++ % (wanted + 1)] = at + i + 1
    at += data.length
  }
  return { at: lines > wanted ? ends[lines % (wanted + 1)]! : 0, lines }
}
