/** From a parsed request to the function that answers it. */
import type { RequestContext } from '../chain/chain.ts'
import { noSuchMethod, noSuchResource, pageNotFound, type Answer } from '../chain/response.ts'
import { serves, type Endpoint } from '../objects/endpoint.ts'
import type { Store } from '../objects/store.ts'
import { getScale, patchScale, updateScale } from '../subresources/scale.ts'
import type { Call } from './context.ts'
import { create } from './create.ts'
import { remove, removeCollection } from './delete.ts'
import { getObject } from './get.ts'
import { listObjects } from './list.ts'
import { patch } from './patch.ts'
import { update } from './update.ts'
import { watchObjects } from './watch.ts'

export type Verb = (call: Call) => Promise<Answer>
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

const scaleVerbs: Readonly<Record<string, Verb>> = { get: getScale, update: updateScale, patch: patchScale }

/** Subresources beside status and scale: by `group/plural/subresource`, and what they do for each method. */
export type Subresources = ReadonlyMap<string, Readonly<Record<string, Verb>>>

export interface Dispatcher {
  readonly endpoints: ReadonlyMap<string, Endpoint>
  readonly store: Store
  readonly subresources: Subresources
  /** Create-only kinds and the like that are no stored resource: by `group/version/plural`. */
  readonly virtual: ReadonlyMap<string, (ctx: RequestContext) => Promise<Answer>>
  readonly nonResource: (ctx: RequestContext) => Answer | Promise<Answer> | undefined
}

export function newDispatch(d: Dispatcher): (ctx: RequestContext) => Promise<Answer> {
  const groupVersions = new Set([...d.endpoints.values()].map(e => `${e.group}/${e.version}`))
  for (const key of d.virtual.keys()) groupVersions.add(key.slice(0, key.lastIndexOf('/')))
  return async ctx => {
    const { info } = ctx
    if (!info.isResource) return (await d.nonResource(ctx)) ?? pageNotFound()
    const key = `${info.group}/${info.version}/${info.resource}`
    const endpoint = d.endpoints.get(key)
    if (!endpoint) {
      const virtual = d.virtual.get(key)
      if (virtual) return virtual(ctx)
      if (!groupVersions.has(`${info.group}/${info.version}`)) return pageNotFound()
      throw noSuchResource()
    }
    const { resource } = endpoint
    // Cluster-scoped kinds are not below a namespace; a namespaced object is.
    if (
      (info.namespace !== '' && !resource.namespaced) ||
      (info.namespace === '' && resource.namespaced && info.name !== '' && info.verb !== 'watch')
    )
      throw noSuchResource()
    if (resource.deprecated !== undefined && endpoint.version === resource.version) ctx.warnings.push(resource.deprecated)
    const call: Call = { request: ctx.request, info, user: ctx.user, warnings: ctx.warnings, store: d.store, endpoint }
    const handler = info.subresource === '' ? mainVerb(endpoint, info) : subresourceVerb(d, endpoint, info.subresource, ctx.request.method)
    return handler(call)
  }
}

function mainVerb(endpoint: Endpoint, info: { verb: string; name: string; namespace: string }): Verb {
  const verb = verbs[info.verb]
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

const methods: Readonly<Record<string, string>> = { GET: 'get', POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' }

function subresourceVerb(d: Dispatcher, endpoint: Endpoint, subresource: string, method: string): Verb {
  const special =
    d.subresources.get(`${endpoint.group}/${endpoint.plural}/${subresource}`) ??
    (subresource === 'scale' && endpoint.resource.scale ? scaleVerbs : undefined)
  const verb = methods[method]
  if (subresource === 'status' && endpoint.resource.hasStatus) return (verb && statusVerbs[verb]) || fail(noSuchMethod())
  if (!special) throw noSuchResource()
  return (verb && special[verb]) || fail(noSuchMethod())
}
const fail = (e: Error): never => {
  throw e
}
