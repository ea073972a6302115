/**
 * What coxswain's components need beyond upstream's roles, because their parts are put together otherwise: a node-agent is kubelet and kube-proxy
 * under one identity, and the controllers share one connection, over which each acts as the user of its own service account. That nodes may
 * join and renew their certificates is upstream bound by who sets up a cluster (kubeadm).
 */
import type { ClusterRoleBinding } from '#shared/api/rbac/clusterrolebinding.ts'
import type { Role } from '#shared/api/rbac/role.ts'
import type { RoleBinding } from '#shared/api/rbac/rolebinding.ts'
import { binding, clusterBinding, group, on, role, user } from './define.ts'
import { controllerNames } from './controllerroles.ts'

const controllers = 'coxswain:controllers'
const requests = 'system:certificates.k8s.io:certificatesigningrequests'
export const componentRoles: readonly Role[] = [
  role('kube-system', controllers, [
    on('core', 'serviceaccounts', 'impersonate', [...controllerNames, 'bootstrap-signer', 'token-cleaner'].join(' ')),
  ]),
]
export const componentBindings: readonly (ClusterRoleBinding | RoleBinding)[] = [
  binding('kube-system', controllers, [user('system:kube-controller-manager')]),
  clusterBinding('coxswain:node-proxier', [group('system:nodes')], 'system:node-proxier'),
  clusterBinding('coxswain:node-bootstrapper', [group('system:bootstrappers')], 'system:node-bootstrapper'),
  clusterBinding('coxswain:node-autoapprove-bootstrap', [group('system:bootstrappers')], `${requests}:nodeclient`),
  clusterBinding('coxswain:node-autoapprove-certificate-rotation', [group('system:nodes')], `${requests}:selfnodeclient`),
]
