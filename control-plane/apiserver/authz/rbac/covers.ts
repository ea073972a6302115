/** Whether some rules allow all that others allow (k8s.io/component-helpers/auth/rbac/validation). */
import type { PolicyRule } from '#shared/api/rbac/policyrule.ts'

const hasAll = (set: readonly string[], covers: readonly string[]): boolean => covers.every(c => set.includes(c))

function resourcesCover(set: readonly string[], covers: readonly string[]): boolean {
  if (set.includes('*')) return true
  return covers.every(path => {
    if (set.includes(path)) return true
    const slash = path.indexOf('/')
    return slash >= 0 && set.includes(`*${path.slice(slash)}`)
  })
}

const urlsCover = (set: readonly string[], covers: readonly string[]): boolean =>
  covers.every(path => set.some(owner => owner === path || (owner.endsWith('*') && path.startsWith(owner.replace(/\*+$/, '')))))

function ruleCovers(owner: PolicyRule, part: PolicyRule): boolean {
  const groups = owner.apiGroups ?? []
  const names = owner.resourceNames ?? []
  const wanted = part.resourceNames ?? []
  return (
    (owner.verbs.includes('*') || hasAll(owner.verbs, part.verbs)) &&
    (groups.includes('*') || hasAll(groups, part.apiGroups ?? [])) &&
    resourcesCover(owner.resources ?? [], part.resources ?? []) &&
    urlsCover(owner.nonResourceURLs ?? [], part.nonResourceURLs ?? []) &&
    (names.length === 0 || (wanted.length > 0 && hasAll(names, wanted)))
  )
}

/** A rule as rules of one verb, group, resource, name or path each. */
function breakdown(rule: PolicyRule): PolicyRule[] {
  const parts: PolicyRule[] = []
  for (const group of rule.apiGroups ?? [])
    for (const resource of rule.resources ?? [])
      for (const verb of rule.verbs) {
        const part = { verbs: [verb], apiGroups: [group], resources: [resource] }
        if (rule.resourceNames?.length) for (const name of rule.resourceNames) parts.push({ ...part, resourceNames: [name] })
        else parts.push(part)
      }
  for (const url of rule.nonResourceURLs ?? []) for (const verb of rule.verbs) parts.push({ verbs: [verb], nonResourceURLs: [url] })
  return parts
}

/** The parts of `rules` that `owner` does not allow. */
export function uncovered(owner: readonly PolicyRule[], rules: readonly PolicyRule[]): PolicyRule[] {
  return rules.flatMap(breakdown).filter(part => !owner.some(rule => ruleCovers(rule, part)))
}

/** Rules of one resource each that differ in their verbs alone become one (pkg/registry/rbac/validation/policy_compact.go). */
export function compact(rules: readonly PolicyRule[]): PolicyRule[] {
  const simple = new Map<string, PolicyRule>()
  const out: PolicyRule[] = []
  for (const rule of rules) {
    const isSimple = rule.apiGroups?.length === 1 && rule.resources?.length === 1 && !rule.nonResourceURLs?.length
    if (!isSimple || (rule.resourceNames?.length ?? 0) > 1) {
      out.push(rule)
      continue
    }
    const key = JSON.stringify([rule.apiGroups, rule.resources, rule.resourceNames ?? []])
    const there = simple.get(key)
    if (there) there.verbs.push(...rule.verbs.filter(v => !there.verbs.includes(v)))
    else {
      const copy = { ...rule, verbs: [...rule.verbs] }
      simple.set(key, copy)
      out.push(copy)
    }
  }
  return out
}

const quoted = (values: readonly string[]): string => `[${values.map(v => JSON.stringify(v)).join(' ')}]`

/** `{APIGroups:["apps"], Resources:["deployments"], Verbs:["get"]}`, as upstream describes a rule in an error. */
export function describe(rule: PolicyRule): string {
  const parts: [string, readonly string[] | undefined][] = [
    ['APIGroups', rule.apiGroups],
    ['Resources', rule.resources],
    ['NonResourceURLs', rule.nonResourceURLs],
    ['ResourceNames', rule.resourceNames],
    ['Verbs', rule.verbs],
  ]
  return `{${parts.flatMap(([name, values]) => (values?.length ? [`${name}:${quoted(values)}`] : [])).join(', ')}}`
}
export const quotedList = quoted
