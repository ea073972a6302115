/** Image names as container tools read them: `[domain[:port]/]path[:tag][@digest]`. https://pkg.go.dev/github.com/distribution/reference */

export interface ImageName {
  /** With its domain: `docker.io/library/nginx`. */
  repository: string
  /** `latest` when neither tag nor digest is given, `''` when there is a digest only. */
  tag: string
  /** `sha256:...` or `''`. */
  digest: string
}

const domain =
  /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$/
const path = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/
const suffix = /^([^@]*?)(?::(\w[\w.-]{0,127}))?(?:@([A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?$/

const maxNameLength = 255
/** An image's ID: kept from names lest one is taken for the other. */
const identifier = /^[a-f0-9]{64}$/
const isHost = (first: string): boolean => /[.:]/.test(first) || first === 'localhost' || first.toLowerCase() !== first

/** Takes an image name apart; undefined when it is none. */
export function parseImageName(image: string): ImageName | undefined {
  if (identifier.test(image)) return undefined
  const m = suffix.exec(image)
  if (!m || !m[1]) return undefined
  let name = m[1]
  let tag = m[2] ?? ''
  // What stands before the first slash is a host only if it looks like one; else the name is Docker Hub's.
  const slash = name.indexOf('/')
  const first = slash < 0 ? '' : name.slice(0, slash)
  let host = 'docker.io'
  if (first && isHost(first)) {
    if (!domain.test(first)) return undefined
    host = first === 'index.docker.io' ? 'docker.io' : first
    name = name.slice(slash + 1)
  }
  if (!path.test(name) || m[1].length > maxNameLength) return undefined
  if (host === 'docker.io' && !name.includes('/')) name = `library/${name}`
  const digest = m[3] ?? ''
  if (!tag && !digest) tag = 'latest'
  return { repository: `${host}/${name}`, tag, digest }
}

/** Why `parseImageName` takes a name for none, in the words of that library. */
export function invalidImageName(image: string): string {
  if (identifier.test(image)) return `invalid repository name (${image}), cannot specify 64-byte hexadecimal strings`
  const slash = image.indexOf('/')
  const hasHost = slash > 0 && isHost(image.slice(0, slash))
  const path = (hasHost ? image.slice(slash + 1) : image).split(':')[0]!
  const remote = !hasHost && slash < 0 ? `library/${path}` : path
  return `invalid reference format${remote === remote.toLowerCase() ? '' : `: repository name (${remote}) must be lowercase`}`
}
