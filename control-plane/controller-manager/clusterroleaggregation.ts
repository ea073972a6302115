/** Puts cluster roles together from those that their aggregation rules select: pkg/controller/clusterroleaggregation */
import { isDeepStrictEqual } from 'node:util'
import { clusterRoles } from '#shared/api/kinds.ts'
import type { ClusterRole } from '#shared/api/rbac/clusterrole.ts'
import type { PolicyRule } from '#shared/api/rbac/policyrule.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import { selects } from '#shared/machinery/labels.ts'
import type { NewController } from './context.ts'

/** The rules of the roles that `role` selects, in the order of their names, each once. */
export function aggregatedRules(role: ClusterRole, all: readonly ClusterRole[]): PolicyRule[] {
  const name = (r: ClusterRole): string => r.metadata.name ?? ''
  const rules: PolicyRule[] = []
  for (const selector of role.aggregationRule?.clusterRoleSelectors ?? []) {
    const selected = all.filter(r => name(r) !== name(role) && selects(selector, r.metadata.labels))
    for (const { rules: more = [] } of selected.sort((a, b) => (name(a) < name(b) ? -1 : 1)))
      for (const rule of more) if (!rules.some(known => isDeepStrictEqual(known, rule))) rules.push(rule)
  }
  return rules
}

export const clusterRoleAggregationController: NewController = ctx => {
  const roles = ctx.informer(clusterRoles)
  return {
    name: 'clusterrole-aggregation-controller',
    client: ctx.as('clusterrole-aggregation-controller'),
    workers: 1,
    // What one role says may be in any that is put together.
    sources: [
      source(roles, () =>
        roles
          .list()
          .filter(r => r.aggregationRule)
          .map(keyOf),
      ),
    ],
    async reconcile(key, client) {
      const [, name] = splitKey(key)
      const role = roles.get('', name)
      if (!role?.aggregationRule) return
      const rules = aggregatedRules(role, roles.list())
      if (!isDeepStrictEqual(role.rules ?? [], rules)) await client.update(clusterRoles, { ...role, rules })
    },
    log: ctx.log,
  }
}
