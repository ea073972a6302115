/** The policies of a kind that are bound, with their bindings, as the store has them in this moment. */
import type { MatchResources, ParamKind } from '#shared/api/admissionregistration/validatingadmissionpolicy.ts'
import type { ParamRef } from '#shared/api/admissionregistration/validatingadmissionpolicybinding.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Registry, Stored, Table } from '../../registry/registry.ts'
import type { Serving } from '../../surface.ts'
import type { Attributes, GroupVersionResource } from '../admission.ts'
import { isAdmissionConfiguration, newMatcher, type Matcher } from '../matching.ts'

export interface Policy extends KubeObject {
  spec: {
    paramKind?: ParamKind | undefined
    matchConstraints?: MatchResources | undefined
    failurePolicy?: string | undefined
  }
}
export interface Binding extends KubeObject {
  spec: { policyName?: string | undefined; paramRef?: ParamRef | undefined; matchResources?: MatchResources | undefined }
}

export interface Hook<P extends Policy, B extends Binding, C> {
  readonly name: string
  readonly policy: P
  readonly matcher: Matcher
  readonly bindings: readonly BoundTo<B>[]
  /** Made when it is first asked for. */
  readonly compiled: C
}
export interface BoundTo<B extends Binding> {
  readonly name: string
  readonly binding: B
  /** Undefined: for all that the policy is for. */
  readonly matcher: Matcher | undefined
}

export interface Hooks<P extends Policy, B extends Binding, C> {
  /** The policies that may be about a request, by name. */
  for(a: Attributes): readonly Hook<P, B, C>[]
  stop(): void
}

/** Requests whose answers are needed to find out about any other; nothing of them is stored. */
const excluded = new Set(
  ['selfsubjectreviews', 'tokenreviews']
    .map(r => `authentication.k8s.io/${r}`)
    .concat(
      ['localsubjectaccessreviews', 'selfsubjectaccessreviews', 'selfsubjectrulesreviews', 'subjectaccessreviews'].map(
        r => `authorization.k8s.io/${r}`,
      ),
    ),
)

export function followHooks<P extends Policy, B extends Binding, C>(
  registry: Registry,
  serving: () => Serving,
  tables: { readonly policies: Table; readonly bindings: Table },
  compile: (policy: P) => C,
): Hooks<P, B, C> {
  type Own = Hook<P, B, C>
  const none: readonly Own[] = []
  let all: readonly Own[] | undefined
  /** By what is asked for, operation and subresource. */
  let concerned = new WeakMap<GroupVersionResource, Map<string, readonly Own[]>>()
  /** A policy is compiled once, however often its bindings change. */
  const compiled = new WeakMap<Stored, C>()

  const matcherOf = (match: MatchResources): Matcher => newMatcher(match, registry, serving)
  function list(): readonly Own[] {
    const byPolicy = new Map<string, BoundTo<B>[]>()
    for (const { name, object } of registry.list(tables.bindings)) {
      const binding = object as B
      const { policyName = '', matchResources } = binding.spec
      const one = { name, binding, matcher: matchResources && matcherOf(matchResources) }
      const others = byPolicy.get(policyName)
      if (others) others.push(one)
      else byPolicy.set(policyName, [one])
    }
    return [...byPolicy]
      .sort(([x], [y]) => (x < y ? -1 : 1))
      .flatMap(([name, bindings]) => {
        const stored = registry.get(tables.policies, '', name)
        return stored ? [hookOf(stored, bindings)] : []
      })
  }
  function hookOf(stored: Stored, bindings: readonly BoundTo<B>[]): Own {
    const policy = stored.object as P
    return {
      name: stored.name,
      policy,
      matcher: matcherOf(policy.spec.matchConstraints ?? {}),
      bindings,
      get compiled() {
        let made = compiled.get(stored)
        if (made === undefined) compiled.set(stored, (made = compile(policy)))
        return made
      },
    }
  }
  const changed = (): void => {
    all = undefined
    concerned = new WeakMap()
  }
  const stops = new Map<Table, () => void>()
  const watch = (table: Table): void => {
    const expired = (): void => {
      changed()
      watch(table)
    }
    stops.set(table, registry.watch(table, { after: registry.version }, { events: changed, progress: () => {}, expired }))
  }
  watch(tables.policies)
  watch(tables.bindings)

  return {
    for(a) {
      all ??= list()
      // The server must be able to start whatever policies say.
      if (all.length === 0 || a.own) return none
      let known = concerned.get(a.requestResource)
      if (!known) concerned.set(a.requestResource, (known = new Map()))
      const key = `${a.operation} ${a.subresource}`
      let hooks = known.get(key)
      if (!hooks) {
        const { group, resource } = a.requestResource
        const isExempt = isAdmissionConfiguration(a) || excluded.has(`${group}/${resource}`)
        known.set(key, (hooks = isExempt ? none : all.filter(h => h.matcher.concerns(a))))
      }
      return hooks
    },
    stop() {
      for (const stop of stops.values()) stop()
    },
  }
}
