/**
 * What coxswain's components need beyond upstream's roles, because their parts are put together otherwise: a node-agent is kubelet and kube-proxy
 * under one identity, and the controllers share one connection, over which each acts as the user of its own service account.
 */
import type { ClusterRoleBinding } from '#shared/api/rbac/clusterrolebinding.ts'
import type { Role } from '#shared/api/rbac/role.ts'
import type { RoleBinding } from '#shared/api/rbac/rolebinding.ts'
import { binding, clusterBinding, group, on, role, user } from './define.ts'
import { controllerNames } from './controllerroles.ts'

const controllers = 'coxswain:controllers'
export const componentRoles: readonly Role[] = [
  role('kube-system', controllers, [on('core', 'serviceaccounts', 'impersonate', controllerNames.join(' '))]),
]
export const componentBindings: readonly (ClusterRoleBinding | RoleBinding)[] = [
  binding('kube-system', controllers, [user('system:kube-controller-manager')]),
  clusterBinding('coxswain:node-proxier', [group('system:nodes')], 'system:node-proxier'),
]
