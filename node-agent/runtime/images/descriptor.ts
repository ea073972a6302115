/** Descriptors and manifests, as the OCI image specification has them; Docker's own forms of them are read alike. */
import * as z from 'zod'
import { ImageError } from '../imageservice.ts'

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'must be sha256: and 64 hexadecimal digits')

const platform = z.object({ architecture: z.string(), os: z.string(), variant: z.string().optional() })

const descriptor = z.object({
  mediaType: z.string().default(''),
  digest,
  /** Bytes. */
  size: z.int().min(0),
  platform: platform.optional(),
  annotations: z.record(z.string(), z.string()).nullish(),
})
export type Descriptor = z.output<typeof descriptor>
export type Platform = z.output<typeof platform>

const manifest = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  config: descriptor,
  layers: z.array(descriptor).max(500),
})
export type Manifest = z.output<typeof manifest>

const index = z.object({ schemaVersion: z.literal(2), mediaType: z.string().optional(), manifests: z.array(descriptor).max(1000) })
export type Index = z.output<typeof index>

const strings = z
  .array(z.string())
  .nullish()
  .transform(list => list ?? [])
const config = z.object({
  architecture: z.string().default(''),
  os: z.string().default(''),
  variant: z.string().optional(),
  created: z.string().optional(),
  config: z
    .object({
      User: z.string().default(''),
      Env: strings,
      Entrypoint: strings,
      Cmd: strings,
      WorkingDir: z.string().default(''),
      StopSignal: z.string().optional(),
      Volumes: z.record(z.string(), z.unknown()).nullish(),
      Labels: z.record(z.string(), z.string()).nullish(),
    })
    .nullish(),
  rootfs: z.object({ type: z.string().optional(), diff_ids: z.array(digest).max(500) }),
})
/** What an image says of itself. */
export type Config = z.output<typeof config>

export const mediaTypes = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
} as const

/** Manifests, indexes and configurations are read whole: no larger ones are taken. Bytes. */
export const maxDocumentBytes = 8 << 20

function read<T>(schema: z.ZodType<T>, bytes: Uint8Array, what: string): T {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch (error) {
    throw new ImageError(`${what} is no JSON: ${(error as Error).message}`)
  }
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]!
  throw new ImageError(`${what} is not valid: ${issue.path.join('.') || 'the document'}: ${issue.message}`)
}

/** An index has `manifests`, a manifest `layers`. Throws ImageError for what is neither. */
export function parseManifest(bytes: Uint8Array, what = 'the manifest'): { manifest: Manifest } | { index: Index } {
  const either = read(
    z.looseObject({ manifests: z.unknown().optional(), layers: z.unknown().optional(), schemaVersion: z.unknown().optional() }),
    bytes,
    what,
  )
  if (either.schemaVersion === 1)
    throw new ImageError(`${what} has schema version 1, which registries gave up; the image has to be pushed anew`)
  return either.manifests !== undefined && either.layers === undefined
    ? { index: read(index, bytes, what) }
    : { manifest: read(manifest, bytes, what) }
}
export const parseIndex = (bytes: Uint8Array, what: string): Index => read(index, bytes, what)
export const parseConfig = (bytes: Uint8Array, what = 'the image configuration'): Config => read(config, bytes, what)
export const parseDescriptor = (value: unknown): Descriptor => descriptor.parse(value)

/** Of this machine, in Go's words. */
export const localPlatform: Platform = {
  os: 'linux',
  architecture: { x64: 'amd64', ia32: '386', arm64: 'arm64', arm: 'arm' }[process.arch as string] ?? process.arch,
}

/**
 * The manifest of an index that is for this platform; the first of those that say nothing of one when none does. Attestations, which
 * builders put beside images, are for `unknown`. Throws ImageError that names the platforms that there are.
 */
export function selectPlatform(of: Index, wanted: Platform = localPlatform): Descriptor {
  const fits = (d: Descriptor): boolean =>
    d.platform?.os === wanted.os &&
    d.platform.architecture === wanted.architecture &&
    (wanted.variant === undefined || d.platform.variant === undefined || d.platform.variant === wanted.variant)
  const found = of.manifests.find(fits) ?? of.manifests.find(d => d.platform === undefined)
  if (found !== undefined) return found
  const there = [...new Set(of.manifests.map(d => d.platform).filter(p => p !== undefined && p.os !== 'unknown'))]
  const text = (p: Platform): string => [p.os, p.architecture, p.variant].filter(Boolean).join('/')
  throw new ImageError(`no match for platform in manifest: not found: it has ${there.map(p => text(p!)).join(', ') || 'none'}`)
}
