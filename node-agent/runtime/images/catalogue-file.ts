/** A catalogue of the user's, in YAML. Loaded when there is one: a node that has none is smaller by the YAML parser. */
import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import * as z from 'zod'
import type { HostImage } from './host-image.ts'

const mode = z.int().min(0).max(0o7777).optional()
const file = z.union([
  z.strictObject({ content: z.string(), mode }),
  z.strictObject({ symlink: z.string() }),
  z.strictObject({ copy: z.string().startsWith('/', 'must be an absolute path'), mode }),
])
const absolute = z.string().regex(/^\/[^\0]*$/, 'must be an absolute path')
const catalogueFile = z.strictObject({
  images: z.array(
    z.strictObject({
      names: z.array(z.string().min(1)).min(1),
      entrypoint: z.array(z.string()).optional(),
      cmd: z.array(z.string()).optional(),
      env: z.array(z.string().regex(/^[^=]+=/, 'must be NAME=value')).optional(),
      user: z.string().optional(),
      workingDir: absolute.optional(),
      requires: z.array(z.strictObject({ binary: z.string(), package: z.string(), directories: z.array(absolute).optional() })).optional(),
      files: z.record(absolute, file).optional(),
      trees: z.array(absolute).optional(),
      busyboxApplets: z.boolean().optional(),
      programs: z.boolean().optional(),
      node: absolute.optional(),
    }),
  ),
})

/** Reads a catalogue file; rejects with one line that names the file and the place. */
export async function readCatalogue(file: string): Promise<HostImage[]> {
  return parseCatalogue(await readFile(file, 'utf8').catch(e => Promise.reject(new Error(`${file}: ${(e as Error).message}`))), file)
}

/** Throws one line that names the file and the place. */
export function parseCatalogue(text: string, name: string): HostImage[] {
  let value: unknown
  try {
    value = parse(text)
  } catch (error) {
    throw new Error(`${name}: ${(error as Error).message.split('\n')[0]}`)
  }
  const result = catalogueFile.safeParse(value)
  if (result.success) return result.data.images
  throw new Error(`${name}: ${result.error.issues.map(i => `${i.path.join('.') || 'the file'}: ${i.message}`).join('; ')}`)
}
