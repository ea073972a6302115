/** Resolves image names to what the node has: the built-in catalogue, extended by a file of the user's. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, realpath, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run } from '#shared/linux/run.ts'
import { ImageError, type ImageConfig } from '../imageservice.ts'
import { containerPath, findBinary } from '../binaries.ts'
import { writeLayer } from '../oci/rootfs.ts'
import { builtinImages } from './builtin.ts'
import type { HostImage } from './host-image.ts'
import { mappedImages, mappedName } from './mapped.ts'
import { familiar } from './familiar.ts'
import { parseReference } from './reference.ts'

/**
 * Who publishes images under everyday names: Docker's official images (a mirror keeps `library`) and Kubernetes' own. The same last name of
 * another publisher is another program.
 */
const OFFICIAL = ['library', 'e2e-test-images', 'google-containers', 'google_containers']

/**
 * Whether a name of the catalogue means the repository with this path; a plain one of the built-in catalogue only with these publishers.
 */
function means(name: string, path: string, builtin: boolean): boolean {
  if (path === name) return true
  if (!path.endsWith(`/${name}`)) return false
  return (
    !builtin ||
    name.includes('/') ||
    OFFICIAL.includes(
      path
        .slice(0, -name.length - 1)
        .split('/')
        .at(-1)!,
    )
  )
}

/** The image of the catalogue that a repository's path means: the longest of its names that the path ends with; later images win. */
export function findImage(images: readonly HostImage[], path: string, registry = 'docker.io'): HostImage | undefined {
  const matches = images.flatMap(image =>
    image.names
      // One that names a registry means that one alone.
      .filter(name => name === `${registry}/${path}` || means(name, path, builtinImages.includes(image)))
      .map(name => ({ image, length: name.length })),
  )
  return matches.reduce<(typeof matches)[number] | undefined>(
    (best, match) => (best === undefined || match.length >= best.length ? match : best),
    undefined,
  )?.image
}

/** What the node lacks of an image, as a sentence; undefined when nothing. */
export function missing(image: HostImage): string | undefined {
  const lacking = (image.requires ?? []).find(r => findBinary(r.binary, [...(r.directories ?? []), ...containerPath]) === undefined)
  return lacking && `the node has no ${lacking.binary} (Debian package ${lacking.package})`
}

/** What a container would not find of the image's own files, as a sentence; undefined when nothing. */
function misplaced(image: HostImage): string | undefined {
  const found = (path: string): boolean => containerPath.includes(dirname(path)) || path === image.entrypoint?.[0]
  const lost = Object.keys(image.files ?? {}).find(path => !found(path))
  return lost && `it needs its own ${lost}, which the runtime "process" cannot give it`
}

export interface Catalogue {
  /** The image that a name means; throws ImageError. */
  resolve(image: string): Promise<ImageConfig>
}

/**
 * `layersDirectory` is where images' own files are laid out, once each. Without `overlay` nothing can be laid over the node's files:
 * programs are found through PATH, other files of an image nowhere.
 */
export async function openCatalogue(options: {
  layersDirectory: string
  file?: string | undefined
  /** What users have mapped; looked at again whenever a name is resolved. */
  mapped?: string | undefined
  overlay?: boolean
}): Promise<Catalogue> {
  const { overlay = true } = options
  const own = options.file === undefined ? [] : await (await import('./catalogue-file.ts')).readCatalogue(options.file)
  const mapped = options.mapped === undefined ? () => [] : mappedImages(options.mapped)
  const layers = new Map<string, Promise<string>>()

  async function layer(image: HostImage, digest: string): Promise<string> {
    const target = join(options.layersDirectory, `image-${digest.slice(0, 12)}`)
    if (existsSync(target)) return target
    const fresh = `${target}.${process.pid}`
    await rm(fresh, { recursive: true, force: true })
    await mkdir(fresh, { recursive: true })
    await writeLayer(fresh, { ...(image.busyboxApplets ? await applets() : {}), ...image.files })
    await rename(fresh, target)
    return target
  }

  return {
    async resolve(name) {
      const reference = parseReference(name)
      const refuse = (why: string): never => {
        throw new ImageError(
          `failed to pull and unpack image "${reference.canonical}": failed to resolve reference "${reference.canonical}": ${why}`,
        )
      }
      const image = findImage([...builtinImages, ...own, ...mapped()], reference.path, reference.registry)
      if (image === undefined)
        return refuse(
          `${reference.canonical}: not found: neither in this machine's image store nor a host image; ` +
            `\`docker save ${name} | cox image load -\` brings it, \`cox image map ${familiar(mappedName(name))} PROGRAM...\` runs a program of the machine by this name, ` +
            '\`cox image list\` shows what there is',
        )
      // Without an overlay, the node's own tools are what a container gets anyway.
      const withApplets = image.busyboxApplets && (overlay || findBinary('busybox', containerPath) !== undefined)
      const lack = image.busyboxApplets && !withApplets ? undefined : (missing(image) ?? (overlay ? undefined : misplaced(image)))
      if (lack !== undefined) return refuse(lack)
      const digest = createHash('sha256')
        .update(JSON.stringify([image, await copied(image)]))
        .digest('hex')
      let made: string[] = []
      if (withApplets || image.files) {
        const pending = layers.get(digest) ?? layer(image, digest)
        layers.set(digest, pending)
        made = [await pending.catch(error => (layers.delete(digest), refuse((error as Error).message)))]
      }
      return {
        image: name,
        id: `host-image://${image.names[0]}@sha256:${digest}`,
        entrypoint: image.entrypoint ?? [],
        cmd: image.cmd ?? [],
        env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...(image.env ?? [])],
        workingDir: image.workingDir ?? '/',
        user: image.user ?? '',
        layers: made,
        trees: (image.trees ?? []).filter(existsSync),
        mounts: [
          ...(image.programs
            ? [readOnly('/coxswain/programs', programsDirectory()), readOnly('/coxswain/node', await realpath(process.execPath))]
            : []),
          ...(image.bundles ? [readOnly('/coxswain/dist', bundlesDirectory())] : []),
          ...(image.node === undefined ? [] : [readOnly(image.node, await realpath(process.execPath))]),
        ],
      }
    },
  }
}

/** What an image copies is part of what it is: a program that was built anew makes another image. Sizes in bytes, times in ms. */
async function copied({ files = {} }: HostImage): Promise<readonly (readonly number[])[]> {
  const sources = Object.values(files).flatMap(file => ('copy' in file ? [file.copy] : []))
  return Promise.all(
    sources.map(source =>
      stat(source).then(
        ({ size, mtimeMs }) => [size, mtimeMs],
        () => [],
      ),
    ),
  )
}

const readOnly = (destination: string, source: string) => ({ destination, source, readOnly: true, propagation: 'private' as const })

/** Our programs lie in the source tree, also for a process that runs from a bundle elsewhere in it. */
function programsDirectory(): string {
  for (let at = dirname(fileURLToPath(import.meta.url)); at !== '/'; at = dirname(at)) {
    for (const path of [join(at, 'programs'), join(at, 'node-agent/runtime/images/programs')])
      if (existsSync(join(path, 'echo.mjs'))) return path
  }
  throw new Error('the programs of the host images are missing from the installation')
}

/** Where the bundles are that this process is one of, or would be. */
function bundlesDirectory(): string {
  for (let at = dirname(fileURLToPath(import.meta.url)); at !== '/'; at = dirname(at))
    for (const path of [at, join(at, 'dist')]) if (existsSync(join(path, 'csi-driver.js'))) return path
  throw new ImageError('the bundles of this installation are missing: `npm run build` makes them')
}

async function applets(): Promise<NonNullable<HostImage['files']>> {
  const busybox = findBinary('busybox', containerPath)!
  const paths = (await run(busybox, ['--list-full'])).split('\n').filter(path => path !== '' && path !== 'linuxrc')
  return Object.fromEntries(paths.map(path => [`/${path}`, { symlink: busybox }]))
}
