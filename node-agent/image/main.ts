/**
 * The node's image tool, which `cox image` starts: it works on the machine's image store, whether or not nodes run. Its argument is one
 * request as JSON; what it prints is for people, or JSON.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { findBinary, containerPath } from '../runtime/binaries.ts'
import { ImageError } from '../runtime/imageservice.ts'
import { loadArchive, loadPath } from '../runtime/images/archive.ts'
import { builtinImages } from '../runtime/images/builtin.ts'
import { missing } from '../runtime/images/catalogue.ts'
import { familiar } from '../runtime/images/familiar.ts'
import type { HostImage } from '../runtime/images/host-image.ts'
import { openImageStore, type ImageStore, type StoredImage } from '../runtime/images/imagestore.ts'
import { mappedFile, mappedImages, mappedName, writeMapped } from '../runtime/images/mapped.ts'
import { parseReference } from '../runtime/images/reference.ts'
import { saveArchive } from '../runtime/images/savearchive.ts'
import { imageID } from '../runtime/images/service.ts'

export type ImageRequest = { store: string; catalogue?: string | undefined; registries?: string | undefined; json: boolean } & (
  | { command: 'pull'; names: string[] }
  | { command: 'load'; from: string; name?: string | undefined }
  | { command: 'list' }
  | { command: 'rm'; names: string[] }
  | { command: 'inspect'; names: string[] }
  | { command: 'tag'; source: string; target: string }
  | { command: 'prune' }
  | { command: 'save'; names: string[]; to?: string | undefined }
  | { command: 'build'; context: string; file?: string | undefined; name: string; args: string[]; target?: string | undefined }
  | { command: 'map'; name: string; program: string[]; env: string[]; user?: string | undefined }
)

// Who reads no further has seen enough.
process.stdout.on('error', () => process.exit(0))
const say = (text: string): boolean => process.stdout.write(`${text}\n`)

/** Layers are unpacked with their owners, and run on overlays. */
function needRoot(): void {
  if (process.platform !== 'linux' || process.getuid?.() !== 0)
    throw new Error('images are unpacked with their owners, and run on overlays, which takes root on Linux; `cox image map` does not')
}
async function storeOf(request: ImageRequest): Promise<ImageStore> {
  needRoot()
  return await openImageStore(request.store)
}

const sized = (bytes: number): string =>
  bytes < 1 << 10 ? `${bytes}B` : bytes < 1 << 20 ? `${(bytes / (1 << 10)).toFixed(1)}KiB` : `${(bytes / (1 << 20)).toFixed(1)}MiB`

async function found(store: ImageStore, name: string): Promise<StoredImage> {
  const image = (await store.find(name)) ?? (await byPrefix(store, name))
  if (image === undefined) throw new Error(`no such image: ${name}; cox image list shows those that there are`)
  return image
}
/** As people copy ids: some of the first digits. */
async function byPrefix(store: ImageStore, text: string): Promise<StoredImage | undefined> {
  const hex = /^(?:sha256:)?([0-9a-f]{4,64})$/.exec(text)?.[1]
  const matching = hex === undefined ? [] : (await store.list()).filter(i => i.id.startsWith(`sha256:${hex}`))
  if (matching.length > 1) throw new Error(`${text} are the first digits of ${matching.length} images`)
  return matching[0]
}

async function load(request: ImageRequest & { command: 'load' }): Promise<void> {
  const store = await storeOf(request)
  const options = request.name === undefined ? {} : { names: [request.name] }
  if (request.from === '-' && process.stdin.isTTY) throw new Error('nothing comes from standard input: docker save NAME | cox image load -')
  const images = request.from === '-' ? await loadArchive(store, process.stdin, options) : await loadPath(store, request.from, options)
  for (const { names, id, sizeBytes } of images)
    if (!request.json) say(`loaded ${names.map(familiar).join(', ')} (${id.slice(7, 19)}, ${sized(sizeBytes)})`)
  if (request.json) say(JSON.stringify(images.map(shown), null, 2))
}

async function pull(request: ImageRequest & { command: 'pull' }): Promise<void> {
  const store = await storeOf(request)
  const { pull: pullByName } = await import('./pull.ts')
  const images: StoredImage[] = []
  for (const name of request.names) {
    const image = await pullByName(store, name, request.registries)
    images.push(image)
    if (!request.json) say(`pulled ${familiar(parseReference(name).canonical)} (${image.id.slice(7, 19)}, ${sized(image.sizeBytes)})`)
  }
  if (request.json) say(JSON.stringify(images.map(shown), null, 2))
}

const shown = ({ id, names, sizeBytes, config }: StoredImage) => ({ kind: 'store', id, names, sizeBytes, created: config.created })

async function hostImagesOf({ store, catalogue }: ImageRequest): Promise<{ kind: 'host' | 'mapped'; image: HostImage }[]> {
  const own = catalogue === undefined ? [] : await (await import('../runtime/images/catalogue-file.ts')).readCatalogue(catalogue)
  return [
    ...mappedImages(mappedFile(store))().map(image => ({ kind: 'mapped' as const, image })),
    ...[...own, ...builtinImages].map(image => ({ kind: 'host' as const, image })),
  ]
}

async function list(request: ImageRequest): Promise<void> {
  const stored = process.getuid?.() === 0 && process.platform === 'linux' ? await (await openImageStore(request.store)).list() : []
  const others = await hostImagesOf(request)
  if (request.json) {
    const host = others.map(({ kind, image }) => ({ kind, names: image.names, missing: missing(image) }))
    return void say(JSON.stringify([...stored.map(shown), ...host], null, 2))
  }
  const rows = [
    ...stored.flatMap(image => image.names.map(name => [familiar(name), 'store', image.id.slice(7, 19), sized(image.sizeBytes)])),
    ...others.map(({ kind, image }) => [image.names.map(familiar).join(', '), kind, '', missing(image) ?? '']),
  ]
  const head = ['NAME', 'KIND', 'ID', 'SIZE']
  const width = (n: number): number => Math.min(70, Math.max(...[head, ...rows].map(r => r[n]!.length)))
  for (const row of [head, ...rows])
    say(
      row
        .map((cell, n) => (n === row.length - 1 ? cell : cell.padEnd(width(n))))
        .join('   ')
        .trimEnd(),
    )
}

async function remove(request: ImageRequest & { command: 'rm' }): Promise<void> {
  const file = mappedFile(request.store)
  for (const name of request.names) {
    const mapped = mappedImages(file)()
    const left = mapped.filter(i => /^(sha256:)?[0-9a-f]{64}$/.test(name) || !i.names.includes(mappedName(name)))
    if (left.length < mapped.length) {
      await writeMapped(file, left)
      say(`${name} is mapped to nothing any more`)
      continue
    }
    const store = await storeOf(request)
    const image = await found(store, name)
    const reference = image.id.startsWith(name) || image.id.slice(7).startsWith(name) ? undefined : parseReference(name)
    const tag = reference && image.names.find(n => n === reference.canonical)
    // What it was pulled as goes with the last of its tags.
    const rest = image.names.filter(n => n !== tag)
    const gone = tag !== undefined && rest.some(n => !n.includes('@')) ? [tag] : image.names
    await store.untag(gone)
    await store.prune()
    for (const n of gone) say(`removed ${familiar(n)}`)
    if (await store.inUse(image)) say('its files go when no container has them any more, with cox image prune')
  }
}

async function inspect(request: ImageRequest & { command: 'inspect' }): Promise<void> {
  const store = await storeOf(request)
  const images = await Promise.all(request.names.map(name => found(store, name)))
  const all = await Promise.all(
    images.map(async image => ({
      id: image.id,
      imageID: imageID(image),
      names: image.names,
      manifest: image.manifest,
      sizeBytes: image.sizeBytes,
      inUse: await store.inUse(image),
      layers: (await store.layers(image)).layers.map(l => l.directory),
      config: image.config,
    })),
  )
  say(JSON.stringify(all, null, 2))
}

async function tag(request: ImageRequest & { command: 'tag' }): Promise<void> {
  const store = await storeOf(request)
  const image = await found(store, request.source)
  const { canonical, digest } = parseReference(request.target)
  if (digest !== undefined) throw new Error(`${request.target}: a tag has no digest`)
  const lease = await store.content.lease()
  try {
    const { length } = await store.content.read({ digest: image.manifest })
    await store.put(lease, [canonical], { mediaType: '', digest: image.manifest, size: length })
  } finally {
    await lease.release()
  }
}

async function save(request: ImageRequest & { command: 'save' }): Promise<void> {
  const store = await storeOf(request)
  const images = await Promise.all(
    request.names.map(async name => {
      const image = await found(store, name)
      const own = image.names.find(n => n === parseReference(name).canonical)
      return { image, names: own === undefined ? image.names.filter(n => !n.includes('@')) : [own] }
    }),
  )
  const { createWriteStream } = await import('node:fs')
  const { pipeline } = await import('node:stream/promises')
  if (request.to === undefined && process.stdout.isTTY) throw new Error('an archive is nothing for a terminal: --output FILE, or a pipe')
  await pipeline(saveArchive(store, images), request.to === undefined ? process.stdout : createWriteStream(request.to))
}

async function buildImage(request: ImageRequest & { command: 'build' }): Promise<void> {
  const store = await storeOf(request)
  const { build } = await import('./build.ts')
  const { context, name, args, target } = request
  const file = request.file ?? ['Containerfile', 'Dockerfile'].map(n => join(context, n)).find(existsSync)
  if (file === undefined) throw new Error(`${context} has neither a Containerfile nor a Dockerfile`)
  const { names, id, sizeBytes } = await build(store, { context, file, name, args, target })
  say(`loaded ${names.map(familiar).join(', ')} (${id.slice(7, 19)}, ${sized(sizeBytes)})`)
}

async function map(request: ImageRequest & { command: 'map' }): Promise<void> {
  const { program, env, user } = request
  const name = mappedName(request.name)
  const binary = program[0]!
  const requires = binary.includes('/') ? [] : [{ binary, package: `that brings ${binary}` }]
  const image: HostImage = { names: [name], entrypoint: program, env, ...(user === undefined ? {} : { user }), requires }
  if (!binary.includes('/') && findBinary(binary, containerPath) === undefined)
    throw new Error(`this machine has no ${binary} in ${containerPath.join(', ')}: containers of host images see these`)
  const file = mappedFile(request.store)
  const others = mappedImages(file)().filter(i => !i.names.includes(name))
  await writeMapped(file, [...others, image])
  say(`${familiar(name)} is ${program.join(' ')}`)
}

try {
  const request = JSON.parse(process.argv[2] ?? '{}') as ImageRequest
  switch (request.command) {
    case 'load':
      await load(request)
      break
    case 'pull':
      await pull(request)
      break
    case 'list':
      await list(request)
      break
    case 'rm':
      await remove(request)
      break
    case 'inspect':
      await inspect(request)
      break
    case 'tag':
      await tag(request)
      break
    case 'prune':
      say(`${sized(await (await storeOf(request)).prune())} are free again`)
      break
    case 'save':
      await save(request)
      break
    case 'build':
      await buildImage(request)
      break
    case 'map':
      await map(request)
      break
  }
} catch (e) {
  process.stderr.write(`cox: ${e instanceof ImageError || e instanceof Error ? e.message : String(e)}\n`)
  process.exitCode = 1
}
