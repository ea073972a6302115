/** Image names: `[registry/]path[:tag][@digest]`, in the grammar of the distribution project. */
import { invalidImageName } from '#shared/api/core/podspec/imagename.ts'
import { ImageError } from '../imageservice.ts'

export interface ImageReference {
  /** `docker.io`, `registry.k8s.io`, `localhost:5000`. */
  registry: string
  /** `library/busybox` */
  path: string
  tag?: string
  digest?: string
  /** The whole name as the runtime spells it: `docker.io/library/busybox:1`. */
  canonical: string
}

const PATH = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/
const REGISTRY = /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::\d+)?$/

/** Parses a name, with Docker Hub's defaults. Throws ImageError, reason InvalidImageName, when it is none. */
export function parseReference(image: string): ImageReference {
  const fail = (): never => {
    throw new ImageError(`couldn't parse image name "${image}": ${invalidImageName(image)}`, 'InvalidImageName')
  }
  const [name = '', digest] = splitLast(image, '@')
  if (digest !== undefined && !/^[a-z0-9+._-]+:[0-9a-fA-F]{32,}$/.test(digest)) fail()
  const slash = name.lastIndexOf('/')
  const colon = name.indexOf(':', slash + 1)
  const [repository, tag] = colon < 0 ? [name, undefined] : [name.slice(0, colon), name.slice(colon + 1)]
  if (tag !== undefined && !/^[\w][\w.-]{0,127}$/.test(tag)) fail()
  const first = repository.split('/')[0]!
  const hasRegistry = repository.includes('/') && (/[.:[]/.test(first) || first === 'localhost' || first !== first.toLowerCase())
  const registry = hasRegistry ? first : 'docker.io'
  const rest = hasRegistry ? repository.slice(first.length + 1) : repository
  if (!REGISTRY.test(registry)) fail()
  if (!PATH.test(rest)) fail()
  const path = registry === 'docker.io' && !rest.includes('/') ? `library/${rest}` : rest
  const shownTag = tag ?? (digest === undefined ? 'latest' : undefined)
  const canonical = `${registry}/${path}${shownTag === undefined ? '' : `:${shownTag}`}${digest === undefined ? '' : `@${digest}`}`
  return { registry, path, tag: shownTag, digest, canonical }
}

function splitLast(text: string, separator: string): [string, string | undefined] {
  const at = text.lastIndexOf(separator)
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}
