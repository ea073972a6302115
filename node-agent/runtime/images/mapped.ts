/** What users map to programs of the machine with `cox image map`: host images beside the catalogue, in a file that all nodes share. */
import { readFileSync, statSync } from 'node:fs'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { HostImage } from './host-image.ts'
import { parseReference } from './reference.ts'

/** In the image store's directory. */
export const mappedFile = (store: string): string => join(store, 'mapped.json')

/** Reads the file when it has changed. Throws a line that names it when it is damaged. */
export function mappedImages(file: string): () => HostImage[] {
  let seen: { version: string; images: HostImage[] } = { version: '', images: [] }
  return () => {
    const info = statSync(file, { throwIfNoEntry: false, bigint: true })
    const version = info === undefined ? '' : `${info.ino} ${info.mtimeNs} ${info.size}`
    if (version !== seen.version) seen = { version, images: info === undefined ? [] : parse(file) }
    return seen.images
  }
}

function parse(file: string): HostImage[] {
  try {
    return (JSON.parse(readFileSync(file, 'utf8')) as { images: HostImage[] }).images
  } catch (error) {
    throw new Error(`${file} is damaged: ${(error as Error).message}`)
  }
}

/** The name that a mapping is known by: with its registry, for it means no other publisher's image, and without its tag. */
export function mappedName(name: string): string {
  const { registry, path } = parseReference(name)
  return `${registry}/${path}`
}

/** Changes the file as a whole. Whoever maps at the same time may lose: people do. */
export async function writeMapped(file: string, images: readonly HostImage[]): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o711 })
  await writeFile(`${file}.new`, JSON.stringify({ images }, null, 2), { mode: 0o644 })
  await rename(`${file}.new`, file)
}
