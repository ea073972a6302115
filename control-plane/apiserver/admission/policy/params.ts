/** The parameters of a policy's binding: k8s.io/apiserver/pkg/admission/plugin/policy/generic CollectParams. */
import type { ParamKind } from '#shared/api/admissionregistration/validatingadmissionpolicy.ts'
import type { ParamRef } from '#shared/api/admissionregistration/validatingadmissionpolicybinding.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { matchesLabels, selectorOf } from '#shared/machinery/labels.ts'
import { after, type Maybe } from '#shared/machinery/maybe.ts'
import { served, servedAll } from '../../objects/conversion.ts'
import type { Endpoint } from '../../objects/endpoint.ts'
import type { Registry, Stored } from '../../registry/registry.ts'
import type { Serving } from '../../surface.ts'

const byKind = new WeakMap<Serving, ReadonlyMap<string, Endpoint>>()

/** Where objects of a kind are; undefined when it is not served. */
export function endpointOfKind(serving: Serving, { apiVersion = '', kind = '' }: ParamKind): Endpoint | undefined {
  let known = byKind.get(serving)
  if (!known) {
    known = new Map([...serving.endpoints.values()].map(e => [`${e.apiVersion}/${e.kind}`, e]))
    byKind.set(serving, known)
  }
  return known.get(`${apiVersion}/${kind}`)
}

/** As Go prints it in errors. */
export const paramKindText = ({ apiVersion = '', kind = '' }: ParamKind): string => {
  const [version = '', group = ''] = apiVersion.split('/').reverse()
  return `${group}/${version}, Kind=${kind}`
}

/**
 * The parameters that a policy is evaluated with, one after the other: `undefined` stands for none (`params` is null). None at all when
 * there are none and that is allowed. Throws Errors in upstream's words.
 */
export function collectParams(
  registry: Registry,
  endpoint: Endpoint | undefined,
  ref: ParamRef | undefined,
  namespace: string,
): Maybe<readonly (KubeObject | undefined)[]> {
  if (!endpoint || !ref) return [undefined]
  const { namespaced } = endpoint.resource
  if (!namespaced && ref.namespace) throw new Error('paramRef.namespace must not be provided for a cluster-scoped `paramKind`')
  const where = namespaced ? ref.namespace || namespace : ''
  if (namespaced && where === '') throw new Error('cannot use namespaced paramRef in policy binding that matches cluster-scoped resources')
  return after(ref.name ? named(registry, endpoint, where, ref.name) : selected(registry, endpoint, where, ref), params => {
    if (params.length === 0 && ref.parameterNotFoundAction === 'Deny')
      throw new Error('no params found for policy binding with `Deny` parameterNotFoundAction')
    return params
  })
}

/** What this server does not know may just have been made. */
function named(registry: Registry, endpoint: Endpoint, namespace: string, name: string): Maybe<readonly KubeObject[]> {
  const get = (): Stored | undefined => registry.get(endpoint.table, namespace, name)
  const known: Maybe<Stored | undefined> = get() ?? registry.fresh().then(get)
  return after(known, stored => (stored ? after(served(endpoint, stored), object => [object]) : []))
}

function selected(registry: Registry, endpoint: Endpoint, namespace: string, ref: ParamRef): Maybe<readonly KubeObject[]> {
  const selector = selectorOf(ref.selector) ?? []
  const stored = registry.list(endpoint.table, namespace || undefined).filter(s => matchesLabels(selector, s.labels))
  return servedAll(endpoint, stored)
}
