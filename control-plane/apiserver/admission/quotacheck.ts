/** Whether a request fits into the quotas of its namespace (CheckRequest in k8s.io/apiserver/pkg/admission/plugin/resourcequota). */
import type { ResourceQuota } from '#shared/api/core/resourcequota.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { compareQuantity } from '#shared/machinery/quantity.ts'
import { StatusError } from '#shared/machinery/status.ts'
import { add, exceeded, formatAmounts, increase, masked, withoutZeros, type ResourceList } from '#shared/quota/amounts.ts'
import { inScopes, type Evaluator } from '#shared/quota/evaluator.ts'
import { scopesOf, type ScopeRequirement } from '#shared/quota/scopes.ts'
import { refused, type Attributes } from './admission.ts'

/** A quota with what is used of it, with the requests before in it. */
export interface Running {
  readonly quota: ResourceQuota
  readonly used: ResourceList
}

/** What may be used only where a quota covers it, as upstream's configuration of the plugin says. */
export interface LimitedResource {
  readonly apiGroup?: string | undefined
  readonly resource: string
  /** Texts of which one must be in the name of a resource. */
  readonly matchContains?: readonly string[] | undefined
  readonly matchScopes?: readonly ScopeRequirement[] | undefined
}

/** What is used of each quota after the request; the same array when nothing changes. Throws when one does not allow it. */
export function checkRequest<R extends Running>(
  quotas: readonly R[],
  a: Attributes,
  evaluator: Evaluator,
  limited: readonly LimitedResource[],
): readonly R[] {
  const object = a.object as KubeObject
  const covered = new Set<string>()
  const scopesOfQuotas: ScopeRequirement[] = []
  const concerned: R[] = []
  for (const running of quotas) {
    const { quota } = running
    const scopes = scopesOf(quota)
    scopesOfQuotas.push(...scopes.filter(s => inScopes(evaluator, [s], object)))
    const names = evaluator.matching(Object.keys(quota.status?.hard ?? {}))
    if (names.length === 0 || !inScopes(evaluator, scopes, object)) continue
    const why = evaluator.constraints?.(names, object)
    const { name } = quota.metadata
    if (why !== undefined) throw refused(a, `failed quota: ${name}: ${why}`)
    if (names.some(n => !Object.hasOwn(running.used, n)))
      throw refused(a, `status unknown for quota: ${name}, resources: ${[...names].sort().join(',')}`)
    for (const n of names) covered.add(n)
    concerned.push(running)
  }
  const usage = evaluator.usage(object) as ResourceList
  const negative = Object.keys(usage).filter(name => compareQuantity(usage[name]!, '0') < 0)
  if (negative.length > 0) throw refused(a, `quota usage is negative for resource(s): ${negative.sort().join(',')}`)
  const { old } = a
  const more = old ? increase(usage, evaluator.usage(old) as ResourceList) : withoutZeros(usage)
  // A change that takes an object into a quota's scopes uses all of it.
  const moreOf = ({ quota }: R): ResourceList => (old && !inScopes(evaluator, scopesOf(quota), old) ? withoutZeros(usage) : more)
  const charges = new Map(concerned.map(running => [running, moreOf(running)]))
  const nothing = (amounts: ResourceList): boolean => Object.keys(amounts).length === 0
  if (concerned.length > 0 ? [...charges.values()].every(nothing) : nothing(more)) return quotas
  checkCovered(a, evaluator, limited, usage, covered, scopesOfQuotas)
  if (concerned.length === 0) return quotas
  return quotas.map(running => {
    const charge = charges.get(running)
    if (!charge || nothing(charge)) return running
    const { hard = {} } = running.quota.status ?? {}
    const requested = masked(charge, Object.keys(hard))
    const used = add(running.used, requested)
    const over = a.subresource === 'status' ? [] : exceeded(masked(used, Object.keys(requested)), hard)
    if (over.length > 0) {
      const [wanted, had, allowed] = [requested, running.used, hard].map(amounts => formatAmounts(masked(amounts, over)))
      throw refused(a, `exceeded quota: ${running.quota.metadata.name}, requested: ${wanted}, used: ${had}, limited: ${allowed}`)
    }
    return { ...running, used }
  })
}

/** What is limited by default must be covered by some quota. */
function checkCovered(
  a: Attributes,
  evaluator: Evaluator,
  limited: readonly LimitedResource[],
  usage: ResourceList,
  covered: ReadonlySet<string>,
  scopes: readonly ScopeRequirement[],
): void {
  if (limited.length === 0) return
  const { group, resource } = a.resource
  const own = limited.filter(l => l.resource === resource && (l.apiGroup ?? '') === group)
  const names = Object.keys(usage).filter(
    name => compareQuantity(usage[name]!, '0') > 0 && own.some(l => l.matchContains?.some(text => name.includes(text))),
  )
  const uncovered = names.filter(name => !covered.has(name)).sort()
  if (uncovered.length > 0) throw refused(a, `insufficient quota to consume: ${uncovered.join(',')}`)
  const left = limited
    .flatMap(l => l.matchScopes ?? [])
    .filter(s => inScopes(evaluator, [s], a.object as KubeObject) && !scopes.some(other => other.scopeName === s.scopeName))
  if (left.length === 0) return
  const shown = left.map(s => `{${s.scopeName} ${s.operator} [${(s.values ?? []).join(' ')}]}`)
  throw new StatusError(500, '', `insufficient quota to match these scopes: [${shown.join(' ')}]`)
}
