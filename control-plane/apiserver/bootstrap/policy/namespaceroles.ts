/** Roles in kube-system and kube-public (plugin/pkg/auth/authorizer/rbac/bootstrappolicy/namespace_policy.go of v1.35). */
import type { Role } from '#shared/api/rbac/role.ts'
import type { RoleBinding } from '#shared/api/rbac/rolebinding.ts'
import { account, binding, events, on, read, role, user } from './define.ts'

const [system, everybody] = ['kube-system', 'kube-public']
const signer = 'system:controller:bootstrap-signer'
const cleaner = 'system:controller:token-cleaner'
const provider = 'system:controller:cloud-provider'
const reader = 'extension-apiserver-authentication-reader'
const managerLock = 'system::leader-locking-kube-controller-manager'
const cloudAddons = 'system:cloud-controller-manager'
const schedulerLock = 'system::leader-locking-kube-scheduler'
const locking = ['leases', 'leasecandidates'].map(resource => on('coordination.k8s.io', resource, `${read} create update`))

export const namespaceRoles: readonly Role[] = [
  role(system, reader, [on('core', 'configmaps', read, 'extension-apiserver-authentication')]),
  role(system, signer, [on('core', 'secrets', read)]),
  role(system, provider, [on('core', 'configmaps', `${read} create`)]),
  role(system, cleaner, [on('core', 'secrets', `${read} delete`), events]),
  role(system, managerLock, locking),
  role(system, schedulerLock, locking),
  // It brings the ingress controller when somebody wants one.
  role(system, cloudAddons, [
    on('apps', 'deployments', 'create get patch'),
    on('core', 'services serviceaccounts', 'create get'),
    on('core', 'services', 'delete'),
  ]),
  role(everybody, signer, [on('core', 'configmaps', read), on('core', 'configmaps', 'update', 'cluster-info'), events]),
]

const manager = user('system:kube-controller-manager')
const scheduler = user('system:kube-scheduler')
export const namespaceRoleBindings: readonly RoleBinding[] = [
  binding(system, managerLock, [manager, account('kube-controller-manager'), account('leader-election-controller')]),
  binding(system, cloudAddons, [user('system:cloud-controller-manager')]),
  binding(system, schedulerLock, [scheduler, account('kube-scheduler')]),
  binding(system, provider, [account('cloud-provider')]),
  binding(system, cleaner, [account('token-cleaner')]),
  binding(system, signer, [account('bootstrap-signer')]),
  binding(system, `system::${reader}`, [manager, scheduler], reader),
  binding(everybody, signer, [account('bootstrap-signer')]),
]
