/**
 * Who may ask the kubelet directly: client certificates of an authority that it is given, and tokens, which the API server reviews; the API
 * server also says who may what (pkg/kubelet/server/auth.go, with KubeletFineGrainedAuthz).
 */
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import type { UserInfo } from '#shared/bus/transport.ts'
import type { Client } from '#shared/client/client.ts'
import { certificateUser } from '#shared/component/certificateuser.ts'

export interface Refusal {
  code: 401 | 403
  text: string
}
export interface KubeletAuth {
  /** Undefined when the request may go on. Rejects when the API server does not say. */
  refuse(req: IncomingMessage): Promise<Refusal | undefined>
}

/** As upstream remembers what it was told, by default. */
const tokenMs = 120_000
const allowedMs = 300_000
const refusedMs = 30_000
const mostRemembered = 1_000

const verbs: { readonly [method: string]: string } = {
  POST: 'create',
  GET: 'get',
  HEAD: 'get',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
}
const parts: { readonly [first: string]: string } = { stats: 'stats', metrics: 'metrics', logs: 'log', checkpoint: 'checkpoint' }
/** Parts that were split off from `proxy`, which still covers them. */
const fine: { readonly [first: string]: string } = { healthz: 'healthz', configz: 'configz', pods: 'pods', runningpods: 'pods' }

/** The subresources of the node of which one must be allowed for a path. */
export function subresources(path: string): string[] {
  const first = path.split('/').find(part => part !== '') ?? ''
  if (Object.hasOwn(parts, first)) return [parts[first]!]
  return Object.hasOwn(fine, first) ? [fine[first]!, 'proxy'] : ['proxy']
}

export function kubeletAuth(client: Client, nodeName: string): KubeletAuth {
  const users = remembered<UserInfo | undefined>()
  const answers = remembered<boolean>()

  async function userOf(req: IncomingMessage): Promise<UserInfo | undefined> {
    const certified = certificateUser(req.socket as TLSSocket)
    if (typeof certified === 'object') return certified
    const token = /^bearer (\S+)$/i.exec(req.headers.authorization ?? '')?.[1]
    if (token === undefined) return undefined
    const key = createHash('sha256').update(token).digest('base64')
    return await users(key, async () => {
      const { status } = await client.raw<{ status?: { authenticated?: boolean; user?: Review } }>(
        'POST',
        '/apis/authentication.k8s.io/v1/tokenreviews',
        { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } },
      )
      const user = status?.authenticated ? status.user : undefined
      const { username: name = '', uid, groups = [], extra } = user ?? {}
      const value = user && { name, groups, ...(uid ? { uid } : {}), ...(extra ? { extra } : {}) }
      return { value, forMs: value ? tokenMs : refusedMs }
    })
  }
  const mayAccess = (user: UserInfo, verb: string, subresource: string): Promise<boolean> =>
    answers(JSON.stringify([user, verb, subresource]), async () => {
      const { name, uid, groups, extra } = user
      const { status } = await client.raw<{ status?: { allowed?: boolean } }>(
        'POST',
        '/apis/authorization.k8s.io/v1/subjectaccessreviews',
        {
          apiVersion: 'authorization.k8s.io/v1',
          kind: 'SubjectAccessReview',
          spec: {
            user: name,
            groups,
            ...(uid ? { uid } : {}),
            ...(extra ? { extra } : {}),
            resourceAttributes: { verb, group: '', version: 'v1', resource: 'nodes', subresource, name: nodeName },
          },
        },
      )
      const value = status?.allowed === true
      return { value, forMs: value ? allowedMs : refusedMs }
    })
  return {
    async refuse(req) {
      const user = await userOf(req)
      if (!user) return { code: 401, text: 'Unauthorized' }
      const [verb, wanted] = [verbs[req.method ?? ''] ?? '', subresources((req.url ?? '/').split('?')[0]!)]
      for (const subresource of wanted) if (await mayAccess(user, verb, subresource)) return undefined
      return { code: 403, text: `Forbidden (user=${user.name}, verb=${verb}, resource=nodes, subresource(s)=[${wanted.join(' ')}])\n` }
    },
  }
}

interface Review {
  username?: string
  uid?: string
  groups?: string[]
  extra?: Record<string, string[]>
}

/** Answers that hold for a while; what is asked twice at the same time is asked once. Failures are not kept. */
function remembered<T>(): (key: string, ask: () => Promise<{ value: T; forMs: number }>) => Promise<T> {
  const known = new Map<string, { until: number; value: Promise<T> }>()
  return (key, ask) => {
    const before = known.get(key)
    if (before && performance.now() < before.until) return before.value
    const asked = ask()
    const entry = { until: Infinity, value: asked.then(answer => answer.value) }
    asked.then(
      ({ forMs }) => (entry.until = performance.now() + forMs),
      () => known.get(key) === entry && known.delete(key),
    )
    known.delete(key)
    known.set(key, entry)
    if (known.size > mostRemembered) known.delete(known.keys().next().value!)
    return entry.value
  }
}
