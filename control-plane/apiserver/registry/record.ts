/**
 * The newest version that readers were shown, noted in a file beside the store: a store that ends before it has lost what was
 * acknowledged.
 */
import { readFileSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'

/** Thrown at the start on a store that has lost something. */
export class StoreLost extends Error {
  constructor(file: string, last: number, known: number) {
    super(
      `the store ends at version ${last}, but version ${known} was acknowledged: objects are gone from it. ` +
        `Bring the store back; or, to go on without what is lost, remove ${file}`,
    )
    this.name = 'StoreLost'
  }
}

export class VersionRecord {
  readonly #file: string
  #saved: number
  #saving: Promise<void> | undefined

  /** Reads what is noted; throws when the file is there and not ours. */
  constructor(file: string) {
    this.#file = file
    this.#saved = noted(file)
  }

  /** Throws StoreLost when a store whose newest version is `last` has lost something. */
  check(last: number): void {
    // Another API server may have noted more, and somebody may have removed it.
    this.#saved = noted(this.#file)
    if (last < this.#saved) throw new StoreLost(this.#file, last, this.#saved)
  }

  /** Notes a version when it is newer than what is there. Never rejects: where nothing can be written, less is noticed. */
  save(version: number): Promise<void> {
    return (this.#saving ??= this.#write(version).finally(() => (this.#saving = undefined)))
  }

  async #write(version: number): Promise<void> {
    if (version <= this.#saved) return
    const temporary = `${this.#file}.${process.pid}`
    try {
      if (noted(this.#file) < version) {
        await writeFile(temporary, `${version}\n`, { mode: 0o600 })
        await rename(temporary, this.#file)
      }
      this.#saved = version
    } catch {
      // Tried again with the next version.
    }
  }
}

function noted(file: string): number {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw e
  }
  if (!/^\d{1,15}\n$/.test(text))
    throw new Error(`${file} is damaged: it holds the newest version of the store; remove it to go on without`)
  return Number(text)
}
