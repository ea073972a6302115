/** A policy put to a request: for each binding that is about it, once with each parameter. */
import type { Namespace } from '#shared/api/core/namespace.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { after, inTurn, type Maybe } from '#shared/machinery/maybe.ts'
import { notFound } from '#shared/machinery/status.ts'
import type { Registry as MetricsRegistry } from 'prom-client'
import type { Attributes as Question, Authorizer } from '../../authz/authorizer.ts'
import type { Authorize, Bindings } from '../../cel/cel.ts'
import { cel } from '../../cel/load.ts'
import { caughtUp } from '../../registry/current.ts'
import type { Registry } from '../../registry/registry.ts'
import type { Serving } from '../../surface.ts'
import type { Attributes } from '../admission.ts'
import { namespaceOf } from '../matching.ts'
import type { Expression } from './environment.ts'
import { Evaluation, Waits } from './evaluation.ts'
import type { Binding, BoundTo, Hook, Policy } from './hooks.ts'
import { collectParams, endpointOfKind, paramKindText } from './params.ts'
import { admissionRequest, versioned, type Versioned } from './request.ts'

export interface PolicyDependencies {
  readonly registry: Registry
  readonly serving: () => Serving
  readonly authorizer: Authorizer
  readonly metrics: MetricsRegistry
  readonly onClose: (stop: () => void) => void
}

/** Does `work` when this server's policies are not older than an acknowledged write. */
export const whenCurrent = <T>(registry: Registry, work: () => Maybe<T>): Maybe<T> =>
  registry.current ? work() : caughtUp(registry).then(work)

/** Makes an evaluation with a budget of its own. */
export type Begin = (budget: number) => Evaluation

export interface Invocation {
  readonly versioned: Versioned
  readonly param: KubeObject | undefined
  /**
   * Does `work`, again when something was asked for in it that had to be waited for. `object` is the request's unless another takes its
   * place.
   */
  evaluate<T>(variables: ReadonlyMap<string, Expression>, work: (begin: Begin) => T, object?: KubeObject): Maybe<T>
}

export interface Invoked<B extends Binding> {
  /** The policy, or one of its bindings, cannot be applied. */
  misconfigured(error: string, bound: BoundTo<B> | undefined): void
  one(bound: BoundTo<B>, invocation: Invocation): Maybe<void>
}

/** What expressions ask the authorizer by, which remembers what it was asked about this request. */
export function authorizersOf(authorizer: Authorizer, a: Attributes): () => Bindings {
  let checks: Bindings | undefined
  return () => {
    const { authorizerValue, requestResourceValue } = cel()
    const { group, resource } = a.requestResource
    const { subresource, namespace, name } = a
    const ask: Authorize = asked => authorizer.authorize(asked as Question)
    return (checks ??= {
      authorizer: authorizerValue(ask, a.user),
      'authorizer.requestResource': requestResourceValue(ask, a.user, { group, resource, subresource, namespace, name }),
    })
  }
}

/** How policies are put to this request. What they need of it is made once, when the first needs it. */
export function invocations<P extends Policy, B extends Binding, C>(
  { registry, serving, authorizer }: PolicyDependencies,
  a: Attributes,
): (hook: Hook<P, B, C>, invoked: Invoked<B>) => Maybe<void> {
  const forms = new Map<string, Maybe<Versioned>>()
  const namespaceName = a.kind.kind === 'Namespace' && a.kind.group === '' ? '' : a.namespace
  const authorizers = authorizersOf(authorizer, a)

  const evaluate = evaluators(a, authorizers)

  /** The namespace of the request, as expressions see it; rejects when it is not there. */
  const namespace = (): Maybe<object | undefined> =>
    namespaceName === ''
      ? undefined
      : after(namespaceOf(registry, namespaceName), found => {
          if (!found) throw notFound({ group: '', resource: 'namespaces' }, namespaceName)
          return shownNamespace(found.object as Namespace)
        })

  return ({ policy, matcher, bindings }, { misconfigured, one }) =>
    attempt(
      () => matcher.match(a),
      error => misconfigured(error, undefined),
      match => {
        if (!match) return undefined
        const { paramKind } = policy.spec
        const paramEndpoint = paramKind && endpointOfKind(serving(), paramKind)
        if (paramKind && !paramEndpoint)
          return misconfigured(`failed to find resource referenced by paramKind: '${paramKindText(paramKind)}'`, undefined)
        return inTurn(bindings, bound =>
          attempt(
            () => bound.matcher?.match(a) ?? (bound.matcher ? undefined : match),
            error => misconfigured(error, bound),
            isBound =>
              isBound &&
              attempt(
                () => collectParams(registry, paramEndpoint, bound.binding.spec.paramRef, a.namespace),
                error => misconfigured(error, bound),
                params => {
                  if (params.length === 0) return undefined
                  const key = `${match.resource.group}/${match.resource.version}`
                  let form = forms.get(key)
                  if (!form) forms.set(key, (form = versioned(a, match, serving())))
                  return attempt(
                    () => form,
                    error => misconfigured(`failed to convert object version: ${error}`, bound),
                    of =>
                      after(namespace(), ns =>
                        inTurn(params, param => one(bound, { versioned: of, param, evaluate: evaluate(of, param, ns) })),
                      ),
                  )
                },
              ),
          ),
        )
      },
    )
}

/** Makes the evaluations of a request; what they all see is made once. */
function evaluators(a: Attributes, authorizers: () => Bindings) {
  const seen = new Map<Versioned, Bindings>()
  const common = (of: Versioned, namespace: object | undefined): Bindings => {
    let made = seen.get(of)
    if (!made) {
      const { fromJson } = cel()
      made = {
        object: fromJson(of.object),
        oldObject: fromJson(of.old),
        request: fromJson(admissionRequest(a, of.match)),
        namespaceObject: fromJson(namespace),
        ...authorizers(),
      }
      seen.set(of, made)
    }
    return made
  }
  return (of: Versioned, param: KubeObject | undefined, namespace: object | undefined): Invocation['evaluate'] =>
    (variables, work, object) => {
      const { fromJson } = cel()
      const bindings = { ...common(of, namespace), params: fromJson(param), ...(object ? { object: fromJson(object) } : {}) }
      return settled(() => work(budget => new Evaluation(bindings, variables, budget)))
    }
}

/** Does the work, which has no effect but its result, again until nothing that it asks has to be waited for. */
export function settled<T>(work: () => T): Maybe<T> {
  try {
    return work()
  } catch (e) {
    if (e instanceof Waits) return e.until.then(() => settled(work))
    throw e
  }
}

/** `next` of what `work` gives; `failed` when it throws or rejects. What `next` throws is thrown. */
function attempt<T>(work: () => Maybe<T>, failed: (error: string) => void, next: (value: T) => Maybe<void>): Maybe<void> {
  let given: Maybe<T>
  try {
    given = work()
  } catch (e) {
    return failed((e as Error).message)
  }
  if (!(given instanceof Promise)) return next(given)
  return given.then(
    value => next(value),
    (e: unknown) => failed((e as Error).message),
  )
}

const shownNamespace = ({ kind: _kind, apiVersion: _version, metadata, spec, status }: Namespace): object => {
  const { managedFields: _fields, ownerReferences: _owners, ...shown } = metadata
  return { metadata: shown, spec, status }
}
