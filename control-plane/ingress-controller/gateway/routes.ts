/** HTTPRoutes and GRPCRoutes as rules. */
import { pattern } from '../annotations.ts'
import { backendName } from '../endpoints.ts'
import type { PathMatch, Rule, Target } from '../model.ts'
import { filterLines, firstOfEach, headerCondition, methodCondition, queryCondition, Unsupported } from './filters.ts'
import { backendOf } from './backends.ts'
import { isolation, type GatewayView, type ServedListener } from './listeners.ts'
import { tryLines } from './retries.ts'
import { attach, parentsOf, type RouteOutcome } from './parents.ts'
import {
  type BackendRef,
  type Condition,
  type Filter,
  type GRPCRouteMatch,
  type HTTPRoute,
  type HTTPRouteMatch,
  type GRPCRoute,
  type RouteRule,
} from './types.ts'

interface Matched {
  path: PathMatch
  conditions: string[]
  precedence: number
}
/** A method says more than headers, these more than query parameters: upstream's precedence. Ingresses come after all of them. */
const precedenceOf = (method: boolean, headers: number, queries: number): number => (method ? 1_000_000 : 0) + headers * 1000 + queries + 10

const lower = (name: string): string => name.toLowerCase()

function httpMatch({ path, method, ...match }: HTTPRouteMatch): Matched {
  const headers = firstOfEach(match.headers ?? [], lower)
  const queryParams = firstOfEach(match.queryParams ?? [])
  const value = path?.value ?? '/'
  if (!/^\/[!-~]*$/.test(value)) throw new Unsupported(`path "${value}" has characters that a URL's path cannot have`)
  const type = path?.type ?? 'PathPrefix'
  const types: Record<string, PathMatch['type']> = { Exact: 'Exact', PathPrefix: 'Prefix', RegularExpression: 'Regex' }
  if (!types[type]) throw new Unsupported(`path match type "${type}" is not supported`)
  return {
    path: { type: types[type], value: type === 'RegularExpression' ? `(?-i:${pattern(value)})` : value },
    conditions: [...(method ? [methodCondition(method)] : []), ...headers.map(headerCondition), ...queryParams.map(queryCondition)],
    precedence: precedenceOf(method !== undefined, headers.length, queryParams.length),
  }
}
function grpcMatch({ method, ...match }: GRPCRouteMatch): Matched {
  const headers = firstOfEach(match.headers ?? [], lower)
  const { type = 'Exact', service, method: name } = method ?? {}
  const precedence = precedenceOf(method !== undefined, headers.length, 0)
  if (type === 'RegularExpression')
    return {
      path: { type: 'Regex', value: `(?-i:/${service ? pattern(`(${service})`) : '[^/]+'}/${name ? pattern(`(${name})`) : '[^/]+'}$)` },
      conditions: headers.map(headerCondition),
      precedence,
    }
  if (type !== 'Exact') throw new Unsupported(`method match type "${type}" is not supported`)
  for (const part of [service, name])
    if (part !== undefined && !/^[A-Za-z0-9_.]+$/.test(part)) throw new Unsupported(`"${part}" is no name of a gRPC service or method`)
  return {
    path:
      name && !service
        ? { type: 'Regex', value: `(?-i:/[^/]+/${name.replaceAll('.', '[.]')}$)` }
        : name
          ? { type: 'Exact', value: `/${service}/${name}` }
          : { type: 'Prefix', value: service ? `/${service}` : '/' },
    conditions: headers.map(headerCondition),
    precedence,
  }
}

/** What answers in the place of a backend that cannot be reached by its name. */
const broken: Omit<Target, 'weight'> = { lines: ['http-request return status 500'], serverOptions: '' }

type AnyRoute = { kind: 'HTTPRoute'; route: HTTPRoute } | { kind: 'GRPCRoute'; route: GRPCRoute }

/** The rules of a route on the listeners that let it in, and what its parents are to be told. */
export function serveRoute(any: AnyRoute, listeners: readonly ServedListener[], view: GatewayView, controllerName: string): RouteOutcome {
  const { kind, route } = any
  const { namespace = '', generation } = route.metadata
  const unresolved: Condition[] = []
  const outcome: RouteOutcome = { rules: [], streams: [], parents: [] }

  function targetOf(ref: BackendRef, lines: string[]): Omit<Target, 'weight'> {
    const found = backendOf(view, kind, namespace, ref)
    if ('type' in found) {
      unresolved.push(found)
      return broken
    }
    const { service, appProtocol } = found
    return { service, lines, serverOptions: kind === 'GRPCRoute' || appProtocol === 'kubernetes.io/h2c' ? 'proto h2' : '' }
  }
  /** Who gets copies: lines that send them, after those of the other filters. */
  function mirrorsOf(filters: readonly Filter[] = []): { lines: string[]; targets: Target[] } {
    const all = filters.flatMap(f => (f.type === 'RequestMirror' && f.requestMirror ? [f.requestMirror] : []))
    const lines: string[] = all.length > 0 ? ['http-request wait-for-body time 2s'] : []
    const targets: Target[] = []
    for (const { backendRef, percent, fraction } of all) {
      const target = { ...targetOf(backendRef, []), weight: 1 }
      if (!target.service) continue
      targets.push(target)
      const share = fraction ? [fraction.numerator, fraction.denominator ?? 100] : [percent ?? 100, 100]
      if (!(share[0]! >= 0 && share[1]! > 0)) throw new Unsupported('a share of requests is no number')
      lines.push(`http-request lua.mirror ${backendName(target)} if { rand(${share[1]}) lt ${share[0]} }`)
    }
    return { lines, targets }
  }
  function targetsOf(rule: RouteRule<unknown>, prefix: string): Target[] {
    const mirrors = mirrorsOf(rule.filters)
    const lines = [...(rule.filters ?? []).flatMap(f => filterLines(f, prefix)), ...tryLines(rule), ...mirrors.lines]
    if (rule.filters?.some(f => f.type === 'RequestRedirect')) return [{ lines, serverOptions: '', weight: 1 }]
    // Without any backend there is nobody to ask.
    if (!rule.backendRefs?.length) return [{ ...broken, weight: 1 }]
    return rule.backendRefs.map(ref => {
      const own = mirrorsOf(ref.filters)
      const target = targetOf(ref, [...lines, ...(ref.filters ?? []).flatMap(f => filterLines(f, prefix)), ...own.lines])
      const copies = target.service ? [...mirrors.targets, ...own.targets] : []
      return { ...target, weight: ref.weight ?? 1, ...(copies.length > 0 ? { mirrors: copies } : {}) }
    })
  }
  /** The route's rules, but for hosts and listeners. Throws an Unsupported. */
  function compile(): (Matched & { targets: Target[] })[] {
    const all: { matches: Matched[]; rule: RouteRule<unknown> }[] =
      any.kind === 'HTTPRoute'
        ? (any.route.spec.rules ?? [{}]).map(rule => ({ rule, matches: (rule.matches?.length ? rule.matches : [{}]).map(httpMatch) }))
        : (any.route.spec.rules ?? [{}]).map(rule => ({ rule, matches: (rule.matches?.length ? rule.matches : [{}]).map(grpcMatch) }))
    return all.flatMap(({ matches, rule }) => matches.map(m => ({ ...m, targets: targetsOf(rule, m.path.value) })))
  }

  const { parentRefs = [], hostnames = [] } = route.spec
  const parented = { kind, namespace, generation, parentRefs, hostnames }
  const mine = parentsOf(parented, listeners)
  if (mine.length === 0) return outcome
  let compiled: ReturnType<typeof compile> = []
  let unsupported: string | undefined
  try {
    compiled = compile()
  } catch (e) {
    unsupported = (e as Error).message
  }
  outcome.parents = attach(parented, mine, { unsupported, unresolved: unresolved[0] }, view, controllerName, (served, hosts) => {
    const { at, secure } = served
    for (const host of hosts) {
      for (const { path, conditions, precedence, targets } of compiled)
        outcome.rules.push({ host, secure, at, path, conditions, precedence, targets })
      outcome.rules.push(...isolation(served, host))
    }
  })
  return outcome
}
