/** What a rule allows (pkg/apis/rbac/v1/evaluation_helpers.go), compiled so that a question looks at few rules. */
import type { PolicyRule } from '#shared/api/rbac/policyrule.ts'
import type { Attributes } from '../authorizer.ts'

/** The rules of a role that name one resource, or one path. */
interface Entry {
  /** Undefined: all. */
  readonly verbs: ReadonlySet<string> | undefined
  /** Undefined: all; of paths not looked at. */
  readonly groups: ReadonlySet<string> | undefined
  /** Undefined: all. */
  readonly names: ReadonlySet<string> | undefined
}

/** The rules of a role, by what they are about. */
export interface CompiledRules {
  /** By `pods`, `pods/log`, `*`/scale or `*`. */
  readonly resources: ReadonlyMap<string, readonly Entry[]>
  readonly paths: ReadonlyMap<string, readonly Entry[]>
  /** Paths that end in a `*`, without it. */
  readonly prefixes: readonly (readonly [prefix: string, entry: Entry])[]
}

const setOf = (values: readonly string[] | undefined): ReadonlySet<string> | undefined =>
  values === undefined || values.includes('*') ? undefined : new Set(values)

export function compile(rules: readonly PolicyRule[] | undefined): CompiledRules {
  const resources = new Map<string, Entry[]>()
  const paths = new Map<string, Entry[]>()
  const prefixes: (readonly [string, Entry])[] = []
  const add = (map: Map<string, Entry[]>, key: string, entry: Entry): void => {
    const there = map.get(key)
    if (there) there.push(entry)
    else map.set(key, [entry])
  }
  for (const rule of rules ?? []) {
    const names = rule.resourceNames?.length ? new Set(rule.resourceNames) : undefined
    const entry = { verbs: setOf(rule.verbs), groups: setOf(rule.apiGroups ?? []), names }
    for (const resource of rule.resources ?? []) add(resources, resource, entry)
    for (const path of rule.nonResourceURLs ?? []) {
      if (path.endsWith('*')) prefixes.push([path.replace(/\*+$/, ''), entry])
      else add(paths, path, entry)
    }
  }
  return { resources, paths, prefixes }
}

function anyOf(entries: readonly Entry[] | undefined, a: Attributes): boolean {
  if (entries === undefined) return false
  for (const { verbs, groups, names } of entries) {
    if (verbs !== undefined && !verbs.has(a.verb)) continue
    if (groups !== undefined && !groups.has(a.group)) continue
    if (names === undefined || names.has(a.name)) return true
  }
  return false
}

const verbIn = ({ verbs }: Entry, verb: string): boolean => verbs === undefined || verbs.has(verb)

/** Whether one of the rules allows what is asked; `resource` is `pods` or `pods/log`. */
export function allows(rules: CompiledRules, a: Attributes, resource: string): boolean {
  if (a.isResource) {
    const { resources } = rules
    return (
      anyOf(resources.get(resource), a) ||
      anyOf(resources.get('*'), a) ||
      (a.subresource !== '' && anyOf(resources.get(`*/${a.subresource}`), a))
    )
  }
  for (const entry of rules.paths.get(a.path) ?? []) if (verbIn(entry, a.verb)) return true
  for (const [prefix, entry] of rules.prefixes) if (a.path.startsWith(prefix) && verbIn(entry, a.verb)) return true
  return false
}
