/** How objects of a kind count against quotas: as what, and which. */
import type { KubeObject } from '../api/meta/objectmeta.ts'
import type { ResourceList } from './amounts.ts'
import { persistentVolumeClaims } from './persistentvolumeclaims.ts'
import { pods } from './pods.ts'
import { resourceClaims } from './resourceclaims.ts'
import type { ScopeRequirement } from './scopes.ts'
import { services } from './services.ts'

export interface GroupPlural {
  readonly group: string
  readonly plural: string
}
/** A write that admission asks about. */
export interface Write {
  readonly operation: string
  readonly subresource: string
  readonly object: KubeObject | undefined
  readonly old: KubeObject | undefined
}

/** Objects are of the evaluator's own kind (`any`: each knows it). */
export interface Evaluator<T = any> {
  readonly kind: GroupPlural
  /** Whether a write may change what is used. */
  readonly handles: (write: Write) => boolean
  /** Of the names of a quota those that objects of this kind use. */
  readonly matching: (names: readonly string[]) => string[]
  /** Whether an object is in a scope. Absent: it is in none. */
  readonly inScope?: (scope: ScopeRequirement, object: T) => boolean
  /** What an object must say that uses these resources; undefined when it does. */
  readonly constraints?: (names: readonly string[], object: T) => string | undefined
  readonly usage: (object: T) => ResourceList
  /** Whether less may be used after a change. Absent: never. */
  readonly releases?: (now: T, before: T) => boolean
}

/** `count/jobs.batch`, `count/pods` */
export const countName = ({ group, plural }: GroupPlural): string => (group === '' ? `count/${plural}` : `count/${plural}.${group}`)
/** Kinds that may be counted by their plain name, too. */
const aliases = ['configmaps', 'resourcequotas', 'replicationcontrollers', 'secrets']
/** Events come and go by themselves. */
const ignored = new Set(['/events', 'events.k8s.io/events'])

const id = ({ group, plural }: GroupPlural): string => `${group}/${plural}`
const special: readonly Evaluator[] = [pods, services, persistentVolumeClaims, resourceClaims]
const known = new Map<string, Evaluator>(special.map(e => [id(e.kind), e]))

/** Kinds without an evaluator of their own are counted. Undefined for what no quota counts. */
export function evaluatorOf(kind: GroupPlural): Evaluator | undefined {
  const key = id(kind)
  if (ignored.has(key)) return undefined
  let evaluator = known.get(key)
  if (!evaluator) known.set(key, (evaluator = counting(kind)))
  return evaluator
}

function counting({ group, plural }: GroupPlural): Evaluator {
  const kind = { group, plural }
  const names = [countName(kind), ...(group === '' && aliases.includes(plural) ? [plural] : [])]
  const one = Object.fromEntries(names.map(name => [name, '1']))
  return {
    kind,
    handles: w => w.subresource === '' && w.operation === 'CREATE',
    matching: asked => asked.filter(name => names.includes(name)),
    usage: () => one,
  }
}

/** The evaluators of all that a quota with these names limits, whether such kinds are served or not. */
export function evaluatorsFor(names: readonly string[]): Evaluator[] {
  const found = new Set(special.filter(e => e.matching(names).length > 0))
  for (const name of names) {
    const [, plural, group = ''] = /^count\/([^.]+)(?:\.(.+))?$/.exec(name) ?? (aliases.includes(name) ? ['', name] : [])
    const evaluator = plural === undefined ? undefined : evaluatorOf({ group, plural })
    if (evaluator) found.add(evaluator)
  }
  return [...found]
}

/** Whether an object is in all scopes. */
export const inScopes = (evaluator: Evaluator, scopes: readonly ScopeRequirement[], object: KubeObject): boolean =>
  scopes.every(scope => evaluator.inScope?.(scope, object) ?? false)
