/** HTTPRoutes and GRPCRoutes as rules. */
import { pattern } from '../annotations.ts'
import type { PathMatch, Rule, Target } from '../model.ts'
import { durationMs, filterLines, headerCondition, methodCondition, queryCondition, Unsupported } from './filters.ts'
import { commonHosts, condition, isGranted, isNamed, letsIn, type GatewayView, type ServedListener } from './listeners.ts'
import {
  group,
  type BackendRef,
  type Condition,
  type GRPCRouteMatch,
  type HTTPRoute,
  type HTTPRouteMatch,
  type GRPCRoute,
  type RouteParentStatus,
  type RouteRule,
} from './types.ts'

interface Matched {
  path: PathMatch
  conditions: string[]
  precedence: number
}
/** A method says more than headers, these more than query parameters: upstream's precedence. Ingresses come after all of them. */
const precedenceOf = (method: boolean, headers: number, queries: number): number => (method ? 1_000_000 : 0) + headers * 1000 + queries + 10

function httpMatch({ path, headers = [], queryParams = [], method }: HTTPRouteMatch): Matched {
  const value = path?.value ?? '/'
  if (!/^\/[!-~]*$/.test(value)) throw new Unsupported(`path "${value}" has characters that a URL's path cannot have`)
  const type = path?.type ?? 'PathPrefix'
  const types: Record<string, PathMatch['type']> = { Exact: 'Exact', PathPrefix: 'Prefix', RegularExpression: 'Regex' }
  if (!types[type]) throw new Unsupported(`path match type "${type}" is not supported`)
  return {
    path: { type: types[type], value: type === 'RegularExpression' ? pattern(value) : value },
    conditions: [...(method ? [methodCondition(method)] : []), ...headers.map(headerCondition), ...queryParams.map(queryCondition)],
    precedence: precedenceOf(method !== undefined, headers.length, queryParams.length),
  }
}
function grpcMatch({ method, headers = [] }: GRPCRouteMatch): Matched {
  const { type = 'Exact', service, method: name } = method ?? {}
  if (type !== 'Exact') throw new Unsupported(`method match type "${type}" is not supported`)
  for (const part of [service, name])
    if (part !== undefined && !/^[A-Za-z0-9_.]+$/.test(part)) throw new Unsupported(`"${part}" is no name of a gRPC service or method`)
  if (name && !service) throw new Unsupported('a method without a service is not supported')
  return {
    path: name ? { type: 'Exact', value: `/${service}/${name}` } : { type: 'Prefix', value: service ? `/${service}` : '/' },
    conditions: headers.map(headerCondition),
    precedence: precedenceOf(method !== undefined, headers.length, 0),
  }
}

/** What answers in the place of a backend that cannot be reached by its name. */
const broken: Omit<Target, 'weight'> = { lines: ['http-request return status 500'], serverOptions: '' }

export interface RouteOutcome {
  rules: Rule[]
  parents: RouteParentStatus[]
}
type AnyRoute = { kind: 'HTTPRoute'; route: HTTPRoute } | { kind: 'GRPCRoute'; route: GRPCRoute }

/** The rules of a route on the listeners that let it in, and what its parents are to be told. */
export function serveRoute(any: AnyRoute, listeners: readonly ServedListener[], view: GatewayView, controllerName: string): RouteOutcome {
  const { kind, route } = any
  const { namespace = '', generation } = route.metadata
  const unresolved: Condition[] = []
  const outcome: RouteOutcome = { rules: [], parents: [] }

  function targetOf(ref: BackendRef, lines: string[]): Omit<Target, 'weight'> {
    const at = ref.namespace ?? namespace
    const fail = (reason: string, message: string): typeof broken => {
      unresolved.push(condition('ResolvedRefs', false, reason, message))
      return broken
    }
    if ((ref.group ?? '') !== '' || (ref.kind ?? 'Service') !== 'Service')
      return fail('InvalidKind', `a backend of kind ${ref.kind} is not supported`)
    if (!isGranted(view.grants, { group, kind, namespace }, { group: '', kind: 'Service', namespace: at, name: ref.name }))
      return fail('RefNotPermitted', `no ReferenceGrant lets it name Service ${at}/${ref.name}`)
    if (!view.service(at, ref.name)?.spec.ports?.some(p => p.port === ref.port))
      return fail('BackendNotFound', `there is no Service ${at}/${ref.name} with port ${ref.port}`)
    const appProtocol = view.service(at, ref.name)?.spec.ports?.find(p => p.port === ref.port)?.appProtocol
    return {
      service: { key: `${at}/${ref.name}`, port: ref.port! },
      lines,
      serverOptions: kind === 'GRPCRoute' || appProtocol === 'kubernetes.io/h2c' ? 'proto h2' : '',
    }
  }
  function targetsOf(rule: RouteRule<unknown>, prefix: string): Target[] {
    const times = [durationMs(rule.timeouts?.request), durationMs(rule.timeouts?.backendRequest)].filter(t => t !== undefined)
    const lines = [
      ...(rule.filters ?? []).flatMap(f => filterLines(f, prefix)),
      ...(times.length > 0 ? [`timeout server ${Math.min(...times)}ms`, 'retry-on conn-failure empty-response'] : []),
    ]
    if (rule.filters?.some(f => f.type === 'RequestRedirect')) return [{ lines, serverOptions: '', weight: 1 }]
    // Without any backend there is nobody to ask.
    if (!rule.backendRefs?.length) return [{ ...broken, weight: 1 }]
    return rule.backendRefs.map(ref => ({
      ...targetOf(ref, [...lines, ...(ref.filters ?? []).flatMap(f => filterLines(f, prefix))]),
      weight: ref.weight ?? 1,
    }))
  }
  /** The route's rules, but for hosts and listeners. Throws an Unsupported. */
  function compile(): (Matched & { targets: Target[] })[] {
    const all: { matches: Matched[]; rule: RouteRule<unknown> }[] =
      any.kind === 'HTTPRoute'
        ? (any.route.spec.rules ?? [{}]).map(rule => ({ rule, matches: (rule.matches?.length ? rule.matches : [{}]).map(httpMatch) }))
        : (any.route.spec.rules ?? [{}]).map(rule => ({ rule, matches: (rule.matches?.length ? rule.matches : [{}]).map(grpcMatch) }))
    return all.flatMap(({ matches, rule }) => matches.map(m => ({ ...m, targets: targetsOf(rule, m.path.value) })))
  }

  const mine = (route.spec.parentRefs ?? []).flatMap(ref => {
    const named = listeners.filter(l => isNamed(l, ref, namespace))
    return named.length > 0 ? [{ ref, named }] : []
  })
  if (mine.length === 0) return outcome
  let compiled: ReturnType<typeof compile> = []
  let unsupported: string | undefined
  try {
    compiled = compile()
  } catch (e) {
    unsupported = (e as Error).message
  }
  for (const { ref, named } of mine) {
    const open = named.filter(l => l.accepted && letsIn(l, kind, namespace, view))
    const attached = open.flatMap(l => {
      const hosts = commonHosts(l.listener.hostname, route.spec.hostnames ?? [])
      return hosts.length > 0 ? [{ served: l, hosts }] : []
    })
    const accepted =
      unsupported !== undefined
        ? condition('Accepted', false, 'UnsupportedValue', unsupported)
        : open.length === 0
          ? condition(
              'Accepted',
              false,
              named.some(l => l.accepted) ? 'NotAllowedByListeners' : 'NoMatchingParent',
              'no listener lets it in',
            )
          : attached.length === 0
            ? condition('Accepted', false, 'NoMatchingListenerHostname', 'no listener has one of its host names')
            : condition('Accepted', true, 'Accepted')
    if (accepted.status === 'True')
      for (const { served, hosts } of attached) {
        served.routes++
        for (const host of hosts)
          for (const { path, conditions, precedence, targets } of compiled)
            outcome.rules.push({ host: host.replace(/^\*\./, '**.'), secure: served.secure, path, conditions, precedence, targets })
      }
    outcome.parents.push({
      parentRef: ref,
      controllerName,
      conditions: [accepted, unresolved[0] ?? condition('ResolvedRefs', true, 'ResolvedRefs')].map(c => ({
        ...c,
        observedGeneration: generation,
      })) as Condition[],
    })
  }
  return outcome
}
