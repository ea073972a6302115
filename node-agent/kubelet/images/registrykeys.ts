/** Keys of `auths` in Docker's configuration: hosts, maybe with the beginning of a path. */
import type { ImageReference } from '../../runtime/images/reference.ts'

const dockerHub = ['docker.io', 'index.docker.io', 'registry-1.docker.io']

/** `https://index.docker.io/v1/` is `index.docker.io`. */
export const registryOf = (key: string): string => key.replace(/^https?:\/\//, '').replace(/(\/v[12])?\/*$/, '')

/** Whether a key is about the image; `*` stands for a part of a host's name. */
export function isAbout(key: string, { registry, path }: Pick<ImageReference, 'registry' | 'path'>): boolean {
  const [host = '', ...rest] = registryOf(key).split('/')
  const prefix = rest.join('/')
  const [parts, wanted] = [host.split('.'), registry.split('.')]
  const sameHost =
    (dockerHub.includes(registry) && dockerHub.includes(host)) ||
    (parts.length === wanted.length && parts.every((p, n) => matches(p, wanted[n]!)))
  return sameHost && (prefix === '' || path === prefix || path.startsWith(`${prefix}/`))
}

/** `*` also stands for a part of it: `app*.k8s.io`. */
function matches(pattern: string, part: string): boolean {
  if (!pattern.includes('*')) return pattern === part
  const pieces = pattern.split('*')
  let at = pieces[0]!.length
  if (!part.startsWith(pieces[0]!)) return false
  for (const piece of pieces.slice(1, -1)) {
    const found = part.indexOf(piece, at)
    if (found < 0) return false
    at = found + piece.length
  }
  const last = pieces.at(-1)!
  return part.length - last.length >= at && part.endsWith(last)
}
