/**
 * Impersonation: a request that says as whom it shall be worked on, when its user may do that
 * (k8s.io/apiserver/pkg/endpoints/filters/impersonation.go). https://kubernetes.io/docs/reference/access-authn-authz/authentication/
 */
import type { ApiRequest, UserInfo } from '#shared/bus/transport.ts'
import { StatusError } from '#shared/machinery/status.ts'
import { refusal, type Attributes, type Authorizer } from '../authz/authorizer.ts'
import { anonymous } from './authenticator.ts'

const extraPrefix = 'impersonate-extra-'

/** Whom a request names. */
interface Wanted {
  readonly user: string
  readonly uid: string
  readonly groups: readonly string[]
  readonly extra: Readonly<Record<string, string[]>>
}

/** The user as whom a request is worked on: its own, or the one that it impersonates. Throws 403, and 500 as upstream without a user. */
export function impersonate(authorizer: Authorizer, request: ApiRequest, user: UserInfo): UserInfo | Promise<UserInfo> {
  for (const name in request.headers) if (name.startsWith('impersonate-')) return checked(authorizer, wantedBy(request.headers), user)
  return user
}

/** Several headers of a name come as one, with commas; names of groups have none. */
const list = (value: string | undefined): string[] => (value === undefined ? [] : value.split(', ').filter(v => v !== ''))

function wantedBy(headers: ApiRequest['headers']): Wanted {
  const extra: Record<string, string[]> = {}
  for (const [name, value] of Object.entries(headers))
    if (name.startsWith(extraPrefix)) extra[unescape(name.slice(extraPrefix.length))] = list(value)
  const user = headers['impersonate-user'] ?? ''
  const uid = headers['impersonate-uid'] ?? ''
  const groups = list(headers['impersonate-group'])
  if (user === '' && (uid !== '' || groups.length > 0 || Object.keys(extra).length > 0))
    throw new StatusError(500, 'InternalError', 'requested uid, groups or user-extra without impersonating a user')
  return { user, uid, groups, extra }
}

function unescape(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}

/** The namespace and name of a service account's user. */
function accountOf(user: string): { namespace: string; name: string } | undefined {
  const [, namespace, name] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(user) ?? []
  return namespace === undefined || name === undefined ? undefined : { namespace, name }
}

/** Asks for each part whether `user` may take it. */
async function checked(authorizer: Authorizer, wanted: Wanted, user: UserInfo): Promise<UserInfo> {
  const account = accountOf(wanted.user)
  const ask = async (what: Partial<Attributes>): Promise<void> => {
    const core = { group: '', version: 'v1', subresource: '', namespace: '', name: '', resource: '' }
    const a: Attributes = { user, verb: 'impersonate', isResource: true, path: '', ...core, ...what }
    const decision = await authorizer.authorize(a)
    if (decision.decision !== 'allow') throw refusal(a, decision)
  }
  if (wanted.user !== '') await ask(account ? { resource: 'serviceaccounts', ...account } : { resource: 'users', name: wanted.user })
  for (const name of wanted.groups) await ask({ resource: 'groups', name })
  const authentication = { group: 'authentication.k8s.io', version: 'v1' }
  for (const [key, values] of Object.entries(wanted.extra))
    for (const name of values) await ask({ ...authentication, resource: 'userextras', subresource: key, name })
  if (wanted.uid !== '') await ask({ ...authentication, resource: 'uids', name: wanted.uid })
  if (wanted.user === '') return user
  return userOf(wanted, account)
}

function userOf({ user, uid, groups, extra }: Wanted, account: { namespace: string } | undefined): UserInfo {
  const own = groups.length > 0 || !account ? [...groups] : ['system:serviceaccounts', `system:serviceaccounts:${account.namespace}`]
  // Everybody is in one of these two, unless the request says so itself.
  if (user === anonymous.name) {
    if (!own.includes('system:unauthenticated')) own.push('system:unauthenticated')
  } else if (!own.includes('system:authenticated') && !own.includes('system:unauthenticated')) own.push('system:authenticated')
  return { name: user, ...(uid === '' ? {} : { uid }), groups: own, ...(Object.keys(extra).length > 0 ? { extra } : {}) }
}
