/**
 * The webhooks of one kind of configuration, in upstream's order: configurations by name, in each as they are listed. Follows the store in
 * the tick in which this server's cache does. By resource, so that a request that no webhook is interested in costs one look into a map.
 */
import type { Webhook } from '#shared/api/admissionregistration/webhooks.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Registry, Table } from '../../registry/registry.ts'
import type { Serving } from '../../surface.ts'
import { newMatcher, type Matcher } from '../matching.ts'
import { PolicyCompiler } from '../policy/environment.ts'
import type { Condition } from '../policy/evaluation.ts'
import { conditionsOf } from '../policy/validations.ts'

/** A webhook as requests need it. */
export interface Hook {
  readonly webhook: Webhook
  readonly configuration: string
  /** Tells it from all others, also from one of the same name. */
  readonly id: string
  /** Its place among all. */
  readonly index: number
  readonly matcher: Matcher
  /** Compiled when they are first looked at. */
  readonly conditions: readonly Condition[]
}

export interface Configurations {
  /** Those of which a rule may name a resource of this plural. */
  interestedIn(plural: string): readonly Hook[]
}

export function followConfigurations(registry: Registry, plural: string, serving: () => Serving): Configurations {
  const table = { group: 'admissionregistration.k8s.io', plural }
  let all: readonly Hook[] | undefined
  const byPlural = new Map<string, readonly Hook[]>()
  const changed = (): void => {
    all = undefined
    byPlural.clear()
  }
  const follow = (): void => {
    changed()
    registry.watch(table, { after: registry.version }, { events: changed, progress: () => {}, expired: follow })
  }
  follow()

  return {
    interestedIn(resource) {
      let found = byPlural.get(resource)
      if (!found) {
        all ??= hooksOf(registry, table, serving)
        found = all.filter(hook => mayName(hook.webhook.rules, resource))
        byPlural.set(resource, found)
      }
      return found
    },
  }
}

/** Whether any rule may name a resource of this plural, of whatever group, version and subresource. */
const mayName = (rules: Webhook['rules'], plural: string): boolean =>
  (rules ?? []).some(rule => rule.resources?.some(text => text.startsWith('*') || text.split('/')[0] === plural))

/** The list of a table is sorted by name, as upstream sorts configurations. */
function hooksOf(registry: Registry, table: Table, serving: () => Serving): Hook[] {
  const hooks: Hook[] = []
  for (const { name, object } of registry.list(table)) {
    const seen = new Map<string, number>()
    for (const webhook of (object as KubeObject & { webhooks?: Webhook[] }).webhooks ?? []) {
      const nth = seen.get(webhook.name) ?? 0
      seen.set(webhook.name, nth + 1)
      let conditions: Condition[] | undefined
      hooks.push({
        webhook,
        configuration: name,
        id: `${name}/${webhook.name}/${nth}`,
        index: hooks.length,
        matcher: newMatcher({ ...webhook, resourceRules: webhook.rules }, registry, serving),
        get conditions() {
          return (conditions ??=
            (webhook.matchConditions ?? []).length === 0 ? [] : conditionsOf(new PolicyCompiler(false), webhook.matchConditions))
        },
      })
    }
  }
  return hooks
}
