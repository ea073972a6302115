/** Who may do what. The place in the chain is here; RBAC and the Node authorizer are further implementations. */
import type { UserInfo } from '#shared/bus/transport.ts'
import type { RequestInfo } from '../chain/requestinfo.ts'

/** Undefined when allowed, else why not (may be empty). */
export type Authorizer = (user: UserInfo, info: RequestInfo) => string | undefined

const publicPaths = new Set(['/healthz', '/livez', '/readyz', '/version', '/version/'])

/** What somebody without credentials may see. */
export const isPublic = (info: RequestInfo): boolean =>
  !info.isResource &&
  info.verb === 'get' &&
  (publicPaths.has(info.path) || info.path.startsWith('/livez/') || info.path.startsWith('/readyz/') || info.path.startsWith('/healthz/'))

/** Everybody who is authenticated may do everything. */
export const alwaysAllow: Authorizer = () => undefined

/** Upstream's words for a refusal, after `forbidden: `. */
export function refusal(user: UserInfo, info: RequestInfo, reason: string): string {
  const tail = reason ? `: ${reason}` : ''
  if (!info.isResource) return `User ${JSON.stringify(user.name)} cannot ${info.verb} path ${JSON.stringify(info.path)}${tail}`
  const what = info.subresource ? `${info.resource}/${info.subresource}` : info.resource
  const where = info.namespace ? ` in the namespace ${JSON.stringify(info.namespace)}` : ' at the cluster scope'
  return `User ${JSON.stringify(user.name)} cannot ${info.verb} resource ${JSON.stringify(what)} in API group ${JSON.stringify(info.group)}${where}${tail}`
}
