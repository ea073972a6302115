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

/** Takes an image name apart; undefined when it is none. */
export function parseImageName(image: string): ImageName | undefined {
  if (/^[a-f0-9]{64}$/.test(image)) return undefined
  const m = suffix.exec(image)
  if (!m || !m[1]) return undefined
  let name = m[1]
  let tag = m[2] ?? ''
  // What stands before the first slash is a host only if it looks like one; else the name is Docker Hub's.
  const slash = name.indexOf('/')
  const first = slash < 0 ? '' : name.slice(0, slash)
  let host = 'docker.io'
  if (first && (/[.:]/.test(first) || first === 'localhost' || first.toLowerCase() !== first)) {
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
