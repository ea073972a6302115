/**
 * What coxswain's components need beyond upstream's roles, because their parts are put together otherwise: a node-agent is kubelet and
 * kube-proxy under one identity, and the controllers share one connection, over which each acts as the user of its own service account.
 * That nodes may join and renew their certificates is upstream bound by who sets up a cluster (kubeadm).
 */
import type { ClusterRole } from '#shared/api/rbac/clusterrole.ts'
import type { ClusterRoleBinding } from '#shared/api/rbac/clusterrolebinding.ts'
import type { Role } from '#shared/api/rbac/role.ts'
import type { RoleBinding } from '#shared/api/rbac/rolebinding.ts'
import { account, binding, clusterBinding, clusterRole, events, group, on, read, role, user } from './define.ts'
import { controllerNames } from './controllerroles.ts'

const controllers = 'coxswain:controllers'
const requests = 'system:certificates.k8s.io:certificatesigningrequests'
const metrics = 'coxswain:metrics-server'
const dns = 'coxswain:cluster-dns'
const networkPolicy = 'coxswain:network-policy'
const networkAttachments = 'coxswain:network-attachments'
const metricsServer = account('metrics-server')
const localVolumes = 'coxswain:local-volume-provisioner'
const localVolumeProvisioner = account('local-volume-provisioner')
export const componentRoles: readonly (ClusterRole | Role)[] = [
  role('kube-system', controllers, [
    on(
      'core',
      'serviceaccounts',
      'impersonate',
      [...controllerNames, 'bootstrap-signer', 'token-cleaner', 'metrics-server', 'local-volume-provisioner'].join(' '),
    ),
  ]),
  // What network plugins' manifests give the DaemonSet that enforces policies; node-agents do so, as its user.
  clusterRole(networkPolicy, [on('core', 'pods namespaces', read), on('networking.k8s.io', 'networkpolicies', read)]),
  role('kube-system', networkPolicy, [on('core', 'serviceaccounts', 'impersonate', 'network-policy')]),
  // What Multus' manifest gives its DaemonSet to read; as above.
  clusterRole(networkAttachments, [on('k8s.cni.cncf.io', 'network-attachment-definitions', read)]),
  role('kube-system', networkAttachments, [on('core', 'serviceaccounts', 'impersonate', 'network-attachments')]),
  // What upstream's manifests give its metrics server; kubelets are asked by way of the API server, and it makes known where it is itself.
  clusterRole(metrics, [
    on('core', 'nodes/proxy', 'get'),
    on('core', 'nodes pods', 'list'),
    on('apiregistration.k8s.io', 'apiservices', 'create'),
    on('apiregistration.k8s.io', 'apiservices', 'get update delete', 'v1beta1.metrics.k8s.io'),
  ]),
  // Each node answers for itself what cluster DNS is asked.
  role('kube-system', dns, [on('core', 'configmaps', 'get list watch', 'coredns')]),
  role('kube-system', metrics, [on('core', 'services', 'create'), on('core', 'services', 'get update delete', 'metrics-server')]),
  // As upstream's system:persistent-volume-provisioner; kubelets make and remove the directories.
  clusterRole(localVolumes, [
    on('core', 'nodes/proxy', 'get update delete'),
    on('core', 'nodes', read),
    on('core', 'persistentvolumes', `${read} create delete update patch`),
    on('core', 'persistentvolumeclaims', `${read} update patch`),
    on('storage.k8s.io', 'storageclasses', `${read} create`),
    events,
  ]),
  role('kube-system', localVolumes, [on('core', 'configmaps', 'create'), on('core', 'configmaps', 'get', 'local-volume-provisioner')]),
  clusterRole('coxswain:aggregated-metrics-reader', [on('metrics.k8s.io', 'nodes pods', read)], { partOf: 'view' }),
]
export const componentBindings: readonly (ClusterRoleBinding | RoleBinding)[] = [
  binding('kube-system', controllers, [user('system:kube-controller-manager')]),
  clusterBinding(metrics, [metricsServer]),
  clusterBinding(`${metrics}:system:auth-delegator`, [metricsServer], 'system:auth-delegator'),
  binding('kube-system', metrics, [metricsServer]),
  clusterBinding(localVolumes, [localVolumeProvisioner]),
  binding('kube-system', localVolumes, [localVolumeProvisioner]),
  binding('kube-system', dns, [group('system:nodes')]),
  clusterBinding(networkPolicy, [account('network-policy')]),
  binding('kube-system', networkPolicy, [group('system:nodes')]),
  clusterBinding(networkAttachments, [account('network-attachments')]),
  binding('kube-system', networkAttachments, [group('system:nodes')]),
  clusterBinding('coxswain:node-proxier', [group('system:nodes')], 'system:node-proxier'),
  clusterBinding('coxswain:node-bootstrapper', [group('system:bootstrappers')], 'system:node-bootstrapper'),
  clusterBinding('coxswain:node-autoapprove-bootstrap', [group('system:bootstrappers')], `${requests}:nodeclient`),
  clusterBinding('coxswain:node-autoapprove-certificate-rotation', [group('system:nodes')], `${requests}:selfnodeclient`),
]
