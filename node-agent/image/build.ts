/**
 * `cox image build`: buildah builds, from the system's packages; we give it the images that we have and take what it made. It needs no
 * daemon and no registry of its own.
 */
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { loadPath } from '../runtime/images/archive.ts'
import { familiar } from '../runtime/images/familiar.ts'
import type { ImageStore, StoredImage } from '../runtime/images/imagestore.ts'
import { parseReference } from '../runtime/images/reference.ts'
import { findBinary } from '../runtime/binaries.ts'

export interface BuildOptions {
  /** The directory of what COPY takes, and the file with the steps. */
  context: string
  file: string
  name: string
  /** `NAME=value` */
  args: string[]
  target?: string | undefined
}

/** Names that a Containerfile builds on, stages and variables left out. */
export function basesOf(containerfile: string): string[] {
  const lines = containerfile.replace(/\\\r?\n/g, ' ').split('\n')
  const stages = new Set<string>()
  const bases = new Set<string>()
  for (const line of lines) {
    const [, base, stage] = /^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?/i.exec(line) ?? []
    const [, copied] = /^\s*COPY\s+(?:--\S+\s+)*?--from=(\S+)/i.exec(line) ?? []
    if (stage !== undefined) stages.add(stage.toLowerCase())
    for (const name of [base, copied])
      if (name !== undefined && name !== 'scratch' && !name.includes('$') && !/^\d+$/.test(name) && !stages.has(name.toLowerCase()))
        bases.add(name)
  }
  return [...bases]
}

/** Rejects with a line when there is no buildah, or with what it ended with: it has said why on standard error. */
export async function build(store: ImageStore, options: BuildOptions): Promise<StoredImage> {
  const program = findBinary('buildah')
  if (program === undefined)
    throw new Error('buildah is not installed (Debian package buildah); whatever else builds: docker save app | cox image load -')
  const own = join(store.content.directory, 'build')
  await mkdir(own, { recursive: true, mode: 0o700 })
  // Its own images, with what it has built before, are beside ours.
  const global = ['--root', join(own, 'root'), '--runroot', join(own, 'run')]
  const env = { BUILDAH_ISOLATION: 'chroot', STORAGE_DRIVER: 'overlay', ...process.env }
  const run = (...args: string[]): Promise<void> =>
    new Promise((resolve, reject) => {
      const child = spawn(program, [...global, ...args], { stdio: ['ignore', 2, 2], env })
      child.on('error', reject)
      child.on('close', (code, signal) => (code === 0 ? resolve() : reject(new Error(`buildah ${args[0]} ended with ${signal ?? code}`))))
    })
  const tag = parseReference(options.name).canonical
  for (const base of basesOf(await readFile(options.file, 'utf8'))) {
    const found = await store.find(base)
    const name = found?.names.find(n => !n.includes('@'))
    if (name === undefined) continue
    // Our store is an OCI layout.
    await run('pull', '--quiet', `oci:${store.content.directory}:${name}`)
    await run('tag', found!.id.slice('sha256:'.length), parseReference(base).canonical)
  }
  const more = [...options.args.flatMap(a => ['--build-arg', a]), ...(options.target === undefined ? [] : ['--target', options.target])]
  await run('build', '--layers', '--tag', tag, '--file', options.file, ...more, options.context)
  const archive = join(own, `${randomUUID()}.tar`)
  try {
    await run('push', '--quiet', tag, `docker-archive:${archive}:${familiar(tag)}`)
    const [image] = await loadPath(store, archive, { names: [tag] })
    return image!
  } finally {
    await rm(archive, { force: true })
  }
}
