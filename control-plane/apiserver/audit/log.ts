/**
 * The audit log: a file of JSON lines that is rotated as upstream's (natefinch/lumberjack): when it would become longer than it may be it
 * is renamed to `NAME-<time>.EXT`, and of those the oldest go. Nobody waits for the disk: what cannot be written in time is counted and
 * lost.
 */
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, open, readdir, rename, rm, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import type { Logger } from '#shared/component/log.ts'
import type { AuditBackend } from './auditor.ts'

export interface AuditLogOptions {
  /** The file; `-` is standard output. */
  readonly path: string
  /** Bytes of a file before it is rotated. */
  readonly maxBytes: number
  /** Rotated files that are kept; 0 for all. */
  readonly maxBackups: number
  /** How long they are kept, ms; 0 for ever. */
  readonly maxAgeMs: number
  /** Whether they are compressed. */
  readonly compress: boolean
  /** Bytes that may wait to be written. */
  readonly bufferBytes?: number
}

const defaultBuffer = 64 << 20
const batchBytes = 1 << 20
const closeMs = 5_000
/** After a failure (a full disk) the next try is so much later, ms. */
const retryMs = 1_000

/** Rejects when the file cannot be opened. */
export async function openAuditLog(options: AuditLogOptions, log: Logger): Promise<AuditBackend> {
  const file = new RotatedFile(options, log)
  await file.open()
  return new BufferedLog(file, options.bufferBytes ?? defaultBuffer, log)
}

class BufferedLog implements AuditBackend {
  readonly name = 'log'
  readonly #file: RotatedFile
  readonly #limit: number
  readonly #log: Logger
  #lines: string[] = []
  #bytes = 0
  #writing: Promise<void> | undefined
  #closed = false
  #complained = -Infinity
  failed = 0

  constructor(file: RotatedFile, limit: number, log: Logger) {
    this.#file = file
    this.#limit = limit
    this.#log = log
  }

  write(line: string): boolean {
    if (this.#closed || this.#bytes + line.length > this.#limit) {
      this.#complain('too much waits to be written')
      return false
    }
    this.#lines.push(line)
    this.#bytes += line.length
    this.#writing ??= this.#pump().finally(() => (this.#writing = undefined))
    return true
  }

  /** Lines that come in one turn of the event loop, and while the disk is busy, are written together. */
  async #pump(): Promise<void> {
    await new Promise(setImmediate)
    while (this.#lines.length > 0) {
      const lines = this.#lines
      this.#lines = []
      for (let at = 0; at < lines.length;) {
        let size = 0
        let end = at
        do size += lines[end++]!.length + 1
        while (end < lines.length && size + lines[end]!.length < Math.min(batchBytes, this.#file.room))
        const text = `${lines.slice(at, end).join('\n')}\n`
        try {
          await this.#file.append(Buffer.from(text))
        } catch (e) {
          this.failed += end - at
          this.#complain((e as Error).message)
          await new Promise(resolve => setTimeout(resolve, this.#closed ? 0 : retryMs))
        }
        for (; at < end; at++) this.#bytes -= lines[at]!.length
      }
    }
  }

  #complain(why: string): void {
    const now = performance.now()
    if (now - this.#complained < 10_000) return
    this.#complained = now
    this.#log.error({ error: why }, 'audit events are lost')
  }

  /** Writes what waits, for at most five seconds. */
  async close(): Promise<void> {
    this.#closed = true
    const late = new Promise(resolve => setTimeout(resolve, closeMs).unref())
    await Promise.race([this.#writing, late])
    await this.#file.close()
  }
}

class RotatedFile {
  readonly #o: AuditLogOptions
  readonly #log: Logger
  #handle: FileHandle | undefined
  #size = 0
  #cleaning = Promise.resolve()

  constructor(options: AuditLogOptions, log: Logger) {
    this.#o = options
    this.#log = log
  }

  async open(): Promise<void> {
    if (this.#o.path === '-') return
    await mkdir(path.dirname(this.#o.path), { recursive: true, mode: 0o700 })
    this.#handle = await open(this.#o.path, 'a', 0o600)
    this.#size = (await this.#handle.stat()).size
    this.#clean()
  }

  /** Bytes that fit into the present file. */
  get room(): number {
    return this.#handle && this.#size < this.#o.maxBytes ? this.#o.maxBytes - this.#size : this.#o.maxBytes
  }

  async append(data: Buffer): Promise<void> {
    if (this.#o.path === '-') {
      if (!process.stdout.write(data)) await new Promise(resolve => process.stdout.once('drain', resolve))
      return
    }
    if (!this.#handle) await this.open()
    if (this.#size > 0 && this.#size + data.length > this.#o.maxBytes) await this.#rotate()
    await this.#handle!.appendFile(data)
    this.#size += data.length
  }

  async #rotate(): Promise<void> {
    const { dir, name, ext } = path.parse(this.#o.path)
    await this.#handle?.close()
    this.#handle = undefined
    // As lumberjack: the time of the rotation, with what no file name may hold replaced.
    let at = Date.now()
    const taken = new Set(await readdir(dir))
    const backup = (): string => `${name}-${new Date(at).toISOString().slice(0, 23).replaceAll(':', '-')}${ext}`
    while (taken.has(backup()) || taken.has(`${backup()}.gz`)) at++
    await rename(this.#o.path, path.join(dir, backup()))
    await this.open()
  }

  /** Removes and compresses rotated files, one run after the other, beside the writing. */
  #clean(): void {
    this.#cleaning = this.#cleaning
      .then(() => clean(this.#o))
      .catch((e: unknown) => this.#log.warn({ error: (e as Error).message }, 'rotated audit logs could not be cleaned up'))
  }

  async close(): Promise<void> {
    await this.#cleaning
    await this.#handle?.close()
    this.#handle = undefined
  }
}

/** When a rotated file was made; undefined for other files. */
function rotatedAt(file: string, { name, ext }: path.ParsedPath): number | undefined {
  const plain = file.endsWith('.gz') ? file.slice(0, -3) : file
  if (!plain.startsWith(`${name}-`) || !plain.endsWith(ext)) return undefined
  const [, day, hour, minute, second] =
    /^(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d\.\d{3})$/.exec(plain.slice(name.length + 1, plain.length - ext.length)) ?? []
  return day === undefined ? undefined : Date.parse(`${day}T${hour}:${minute}:${second}Z`)
}

async function clean({ path: file, maxBackups, maxAgeMs, compress }: AuditLogOptions): Promise<void> {
  const parsed = path.parse(file)
  const backups = (await readdir(parsed.dir))
    .flatMap(name => {
      const at = rotatedAt(name, parsed)
      return at === undefined ? [] : [{ file: path.join(parsed.dir, name), at }]
    })
    .sort((a, b) => b.at - a.at)
  const oldest = maxAgeMs > 0 ? Date.now() - maxAgeMs : -Infinity
  for (const [i, backup] of backups.entries()) {
    if ((maxBackups > 0 && i >= maxBackups) || backup.at < oldest) await rm(backup.file, { force: true })
    else if (compress && !backup.file.endsWith('.gz')) {
      await pipeline(createReadStream(backup.file), createGzip(), createWriteStream(`${backup.file}.gz`, { mode: 0o600 }))
      await rm(backup.file, { force: true })
    }
  }
}
