/** What a path asks for, parsed as k8s.io/apiserver/pkg/endpoints/request/requestinfo.go parses it. */
import { badRequest } from '#shared/machinery/status.ts'

export type RequestVerb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'deletecollection'

export interface RequestInfo {
  readonly isResource: boolean
  /** Of a resource request one of RequestVerb, or nothing for a method that stands for none; else the method in lower case. */
  readonly verb: string
  readonly path: string
  /** `''` for the core group. */
  readonly group: string
  readonly version: string
  readonly namespace: string
  readonly resource: string
  readonly subresource: string
  readonly name: string
  /** Path segments after the subresource, as `proxy` has them. */
  readonly rest: readonly string[]
}

const verbs: Readonly<Record<string, string>> = { POST: 'create', GET: 'get', HEAD: 'get', PUT: 'update', PATCH: 'patch', DELETE: 'delete' }
// `/namespaces/x/status` is the namespace's own subresource, not a resource in the namespace.
const namespaceSubresources = new Set(['status', 'finalize'])

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    throw badRequest(`invalid URL escape ${JSON.stringify(segment)}`)
  }
}

/** By hand: every request comes here, and `split` costs twice as much. */
function segmentsOf(path: string): string[] {
  const parts: string[] = []
  for (let from = 0; from < path.length;) {
    let to = path.indexOf('/', from)
    if (to < 0) to = path.length
    if (to > from) parts.push(path.slice(from, to))
    from = to + 1
  }
  return path.includes('%') ? parts.map(decode) : parts
}

const none = { isResource: false, group: '', version: '', namespace: '', resource: '', subresource: '', name: '', rest: [] } as const
// As upstream converts it: `True` is what Python's client writes.
const isTrue = (value: string): boolean => value !== '0' && value.toLowerCase() !== 'false'

/** Parses method, path and the `watch` parameter. Throws 400 for a path that cannot be decoded. */
export function parseRequestInfo(method: string, path: string, query: URLSearchParams): RequestInfo {
  const parts = segmentsOf(path)
  const nonResource = (): RequestInfo => ({ ...none, verb: method.toLowerCase(), path })
  const core = parts[0] === 'api'
  if ((!core && parts[0] !== 'apis') || parts.length < (core ? 3 : 4)) return nonResource()
  const group = core ? '' : parts[1]!
  const version = core ? parts[1]! : parts[2]!
  let at = core ? 2 : 3
  let verb = verbs[method] ?? ''
  let deprecatedWatch = false
  if (parts[at] === 'watch') {
    if (parts.length < at + 2) return nonResource()
    deprecatedWatch = true
    at++
  }
  let namespace = ''
  if (parts[at] === 'namespaces') {
    if (parts.length > at + 1) namespace = parts[at + 1]!
    if (parts.length > at + 2 && !namespaceSubresources.has(parts[at + 2]!)) at += 2
  }
  const resource = parts[at]!
  const name = parts[at + 1] ?? ''
  if (resource === 'namespaces') namespace = ''
  if (verb === 'get' && deprecatedWatch) verb = 'watch'
  else if (verb === 'get' && name === '') verb = isTrue(query.get('watch') ?? 'false') ? 'watch' : 'list'
  else if (verb === 'delete' && name === '') verb = 'deletecollection'
  return {
    isResource: true,
    verb,
    path,
    group,
    version,
    namespace,
    resource,
    subresource: parts[at + 2] ?? '',
    name,
    rest: parts.slice(at + 3),
  }
}
