/** From a parsed request to the function that answers it. */
import type { RequestContext } from '../chain/chain.ts'
import { noSuchMethod, noSuchResource, pageNotFound, type Answer } from '../chain/response.ts'
import { lookUp } from '#shared/machinery/jsonvalue.ts'
import { serves, type Endpoint } from '../objects/endpoint.ts'
import type { Store } from '../objects/store.ts'
import type { Served, Surface } from '../surface.ts'
import { admitConnection } from './connect.ts'
import type { Call, Verb } from './context.ts'
import { create } from './create.ts'
import { remove, removeCollection } from './delete.ts'
import { getObject } from './get.ts'
import { listObjects } from './list.ts'
import { patch } from './patch.ts'
import { update } from './update.ts'
import { watchObjects } from './watch.ts'

const verbs: Readonly<Record<string, Verb>> = {
  get: getObject,
  list: listObjects,
  watch: watchObjects,
  create,
  update,
  patch,
  delete: remove,
  deletecollection: removeCollection,
}
const statusVerbs: Readonly<Record<string, Verb>> = { get: getObject, update, patch }

export interface Dispatcher {
  readonly surface: Surface
  readonly store: Store
  /** What each verb does on `scale`, of all kinds that have it. */
  readonly scale: Readonly<Record<string, Verb>>
  readonly nonResource: (ctx: RequestContext) => Answer | Promise<Answer> | undefined
}

export function newDispatch(d: Dispatcher): (ctx: RequestContext) => Promise<Answer> {
  return async ctx => {
    const { info } = ctx
    if (!info.isResource) return (await d.nonResource(ctx)) ?? pageNotFound()
    const groupVersion = `${info.group}/${info.version}`
    if (d.surface.current.isProxied(info.group, info.version)) return d.surface.current.proxied.get(groupVersion)!.serve(ctx)
    const key = `${groupVersion}/${info.resource}`
    const { registry } = d.store
    const before = d.surface.current.endpoints.get(key)
    // Another server may have said already that a kind is Established, or is another now (groups of custom kinds have a dot).
    if (before ? before.resource.structural && !registry.current : info.group.includes('.') && registry.healthy)
      await registry.fresh().catch(() => {})
    const { endpoints, kinds, groupVersions } = d.surface.current
    const endpoint = endpoints.get(key)
    const served = kinds.get(key)
    if (!endpoint || !served) {
      if (served?.answer) return served.answer(ctx)
      if (!groupVersions.has(groupVersion)) return pageNotFound()
      throw noSuchResource()
    }
    const { resource } = endpoint
    // Cluster-scoped kinds are not below a namespace; a namespaced object is. Of custom kinds all namespaces can but be looked at.
    if (
      (info.namespace !== '' && !resource.namespaced) ||
      (info.namespace === '' &&
        resource.namespaced &&
        info.verb !== 'watch' &&
        (info.name !== '' || (resource.structural && info.verb !== 'list')))
    )
      throw noSuchResource()
    if (endpoint.deprecated !== undefined) {
      ctx.warnings.push(endpoint.deprecated)
      ctx.annotations.push(['k8s.io/deprecated', 'true'])
    }
    const call: Call = {
      request: ctx.request,
      info,
      user: ctx.user,
      auditId: ctx.auditId,
      warnings: ctx.warnings,
      annotations: ctx.annotations,
      audit: ctx.audit,
      require: ctx.require,
      store: d.store,
      endpoint,
    }
    const handler =
      info.subresource === '' ? mainVerb(endpoint, info) : subresourceVerb(d, endpoint, served, info.subresource, ctx.request.method)
    if (info.subresource !== '' && lookUp(resource.subresources ?? {}, info.subresource)?.verbs.includes('connect'))
      await admitConnection(call)
    return handler(call)
  }
}

function mainVerb(endpoint: Endpoint, info: { verb: string; name: string; namespace: string }): Verb {
  const verb = lookUp(verbs, info.verb)
  if (!verb || !serves(endpoint, info.verb)) throw noSuchMethod()
  const named = info.name !== ''
  if (
    info.verb === 'create'
      ? named || (endpoint.resource.namespaced && info.namespace === '')
      : (info.verb === 'update' || info.verb === 'patch') && !named
  )
    throw noSuchMethod()
  if (info.verb === 'deletecollection' && endpoint.resource.namespaced && info.namespace === '') throw noSuchMethod()
  return verb
}

/** What a subresource does for a method; HEAD and OPTIONS only where it says so. */
const methods: Readonly<Record<string, string>> = {
  GET: 'get',
  HEAD: 'head',
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
  OPTIONS: 'options',
}

function subresourceVerb(d: Dispatcher, endpoint: Endpoint, served: Served, subresource: string, method: string): Verb {
  const { hasStatus, scale } = endpoint.resource
  const does =
    subresource === 'status' && hasStatus
      ? statusVerbs
      : ((served.subresources && lookUp(served.subresources, subresource)) ?? (subresource === 'scale' && scale ? d.scale : undefined))
  if (!does) throw noSuchResource()
  const verb = lookUp(methods, method)
  const answer = verb === undefined ? undefined : does[verb]
  if (!answer) throw noSuchMethod()
  return answer
}
