/**
 * What each controller may do, as the user of its own service account in kube-system
 * (plugin/pkg/auth/authorizer/rbac/bootstrappolicy/controller_policy.go of v1.35, feature gates at their defaults but
 * for ClusterTrustBundle).
 */
import type { ClusterRole } from '#shared/api/rbac/clusterrole.ts'
import type { ClusterRoleBinding } from '#shared/api/rbac/clusterrolebinding.ts'
import type { PolicyRule } from '#shared/api/rbac/policyrule.ts'
import { account, clusterBinding, clusterRole, events, on, read } from './define.ts'

const batch = 'batch'
const csr = 'certificates.k8s.io'
const storage = 'storage.k8s.io'
const dra = 'resource.k8s.io'
const apps = 'apps extensions'
const slices = on('discovery.k8s.io', 'endpointslices', `${read} create update delete`)
const revisions = on('apps', 'controllerrevisions', `${read} create delete update patch`)
const podOwner = on('core', 'pods', 'list watch create delete patch')
const part = (group: string, resource: string, name: string) => on(group, `${resource}/${name}`, 'update')
const signers = ['kube-apiserver-client', 'kube-apiserver-client-kubelet', 'kubelet-serving', 'legacy-unknown']

const rules: Readonly<Record<string, readonly PolicyRule[]>> = {
  'attachdetach-controller': [
    on('core', 'persistentvolumes persistentvolumeclaims', 'list watch'),
    on('core', 'nodes', read),
    on('core', 'nodes/status', 'patch update'),
    on('core', 'pods', 'list watch'),
    events,
    on(storage, 'volumeattachments', `${read} create delete`),
    on(storage, 'csidrivers', read),
    on(storage, 'csinodes', read),
  ],
  'certificate-controller': [
    on(csr, 'certificatesigningrequests', `${read} delete`),
    on(csr, 'certificatesigningrequests/status certificatesigningrequests/approval', 'update'),
    on(csr, 'signers', 'approve', 'kubernetes.io/kube-apiserver-client-kubelet'),
    on(csr, 'signers', 'sign', signers.map(s => `kubernetes.io/${s}`).join(' ')),
    on('authorization.k8s.io', 'subjectaccessreviews', 'create'),
    events,
  ],
  // Upstream has none: there DNS is an addon.
  'cluster-dns-controller': [on('core', 'services configmaps', 'create'), slices],
  'clusterrole-aggregation-controller': [on('rbac.authorization.k8s.io', 'clusterroles', `escalate ${read} update patch`)],
  'cronjob-controller': [
    on(batch, 'cronjobs', `${read} update`),
    on(batch, 'jobs', `${read} create update delete patch`),
    part(batch, 'cronjobs', 'status'),
    part(batch, 'cronjobs', 'finalizers'),
    on('core', 'pods', 'list watch delete'),
    events,
  ],
  // Upstream has none: what the sidecars of drivers may do (kubernetes-csi's external-provisioner, -attacher, -resizer and -snapshotter).
  'csi-controller': [
    on('core', 'nodes/proxy', 'create'),
    on('core', 'nodes', read),
    on('core', 'persistentvolumes', `${read} create delete update patch`),
    on('core', 'persistentvolumeclaims', `${read} update patch`),
    on('core', 'persistentvolumeclaims/status', 'update patch'),
    on('core', 'secrets', 'get'),
    on(storage, 'storageclasses csinodes csidrivers volumeattributesclasses', read),
    on(storage, 'volumeattachments', `${read} update patch`),
    on(storage, 'volumeattachments/status', 'update patch'),
    on(storage, 'csistoragecapacities', `${read} create update patch delete`),
    on('snapshot.storage.k8s.io', 'volumesnapshots volumesnapshotcontents volumesnapshotclasses', `${read} create update patch delete`),
    on('populator.storage.k8s.io', 'volumepopulators', read),
    on('snapshot.storage.k8s.io', 'volumesnapshots/status volumesnapshotcontents/status', 'update patch'),
    events,
  ],
  'daemon-set-controller': [
    on(apps, 'daemonsets', read),
    part(apps, 'daemonsets', 'status'),
    part(apps, 'daemonsets', 'finalizers'),
    on('core', 'nodes', 'list watch'),
    podOwner,
    on('core', 'pods/binding', 'create'),
    revisions,
    events,
  ],
  'deployment-controller': [
    on(apps, 'deployments', `${read} update`),
    part(apps, 'deployments', 'status'),
    part(apps, 'deployments', 'finalizers'),
    on(apps, 'replicasets', `${read} create update patch delete`),
    on('core', 'pods', `${read} update`),
    events,
  ],
  'disruption-controller': [
    on(apps, 'deployments', read),
    on(apps, 'replicasets', read),
    on('core', 'replicationcontrollers', read),
    on('policy', 'poddisruptionbudgets', read),
    on('apps', 'statefulsets', read),
    part('policy', 'poddisruptionbudgets', 'status'),
    on('core', 'pods/status', 'patch update'),
    on('*', '*/scale', 'get'),
    events,
  ],
  'endpoint-controller': [
    on('core', 'services pods', read),
    on('core', 'endpoints', `${read} create update delete`),
    on('core', 'endpoints/restricted', 'create'),
    events,
  ],
  'endpointslice-controller': [on('core', 'services pods nodes', read), part('core', 'services', 'finalizers'), slices, events],
  'endpointslicemirroring-controller': [
    on('core', 'services endpoints', read),
    part('core', 'services', 'finalizers'),
    part('core', 'endpoints', 'finalizers'),
    slices,
    events,
  ],
  'ephemeral-volume-controller': [
    on('core', 'pods', read),
    part('core', 'pods', 'finalizers'),
    on('core', 'persistentvolumeclaims', `${read} create`),
    events,
  ],
  'expand-controller': [
    on('core', 'persistentvolumes', `${read} update patch`),
    on('core', 'persistentvolumeclaims/status', 'update patch'),
    on('core', 'persistentvolumeclaims', read),
    events,
    on('core', 'services', 'get'),
  ],
  'generic-garbage-collector': [on('*', '*', `${read} patch update delete`), events],
  'horizontal-pod-autoscaler': [
    on('autoscaling', 'horizontalpodautoscalers', read),
    part('autoscaling', 'horizontalpodautoscalers', 'status'),
    on('*', '*/scale', 'get update'),
    on('core', 'pods', 'list watch'),
    on('metrics.k8s.io', 'pods', 'list watch'),
    on('custom.metrics.k8s.io', '*', read),
    on('external.metrics.k8s.io', '*', read),
    events,
  ],
  'job-controller': [
    on(batch, 'jobs', `${read} update patch`),
    part(batch, 'jobs', 'status'),
    part(batch, 'jobs', 'finalizers'),
    podOwner,
    events,
  ],
  'kube-apiserver-serving-clustertrustbundle-publisher': [
    on(csr, 'signers', 'attest', 'kubernetes.io/kube-apiserver-serving'),
    on(csr, 'clustertrustbundles', 'create update delete list watch'),
    events,
  ],
  'legacy-service-account-token-cleaner': [
    on('core', 'configmaps', 'get', 'kube-apiserver-legacy-service-account-token-tracking'),
    on('core', 'secrets', 'delete patch'),
  ],
  'namespace-controller': [
    on('core', 'namespaces', `${read} delete`),
    on('core', 'namespaces/finalize namespaces/status', 'update'),
    on('*', '*', `${read} delete deletecollection`),
  ],
  'node-controller': [
    on('core', 'nodes', `${read} update delete patch`),
    on('core', 'nodes/status', 'patch update'),
    on('core', 'pods/status', 'patch update'),
    on('core', 'pods', `${read} delete`),
    on('coordination.k8s.io', 'leases', read),
    events,
  ],
  'persistent-volume-binder': [
    on('core', 'persistentvolumes', `${read} update create delete`),
    part('core', 'persistentvolumes', 'status'),
    on('core', 'persistentvolumeclaims', `${read} update`),
    part('core', 'persistentvolumeclaims', 'status'),
    on('core', 'pods', `${read} create delete`),
    on(storage, 'storageclasses', read),
    on('core', 'nodes', 'list watch'),
    events,
    on('core', 'events', 'watch'),
  ],
  'pod-garbage-collector': [on('core', 'pods', 'list watch delete'), on('core', 'nodes', read), on('core', 'pods/status', 'patch')],
  'pv-protection-controller': [on('core', 'persistentvolumes', `${read} update`), events],
  'pvc-protection-controller': [
    on('core', 'persistentvolumeclaims', `${read} update`),
    part('core', 'persistentvolumeclaims', 'status'),
    on('core', 'pods', read),
    events,
  ],
  'replicaset-controller': [
    on(apps, 'replicasets', `${read} update`),
    part(apps, 'replicasets', 'status'),
    part(apps, 'replicasets', 'finalizers'),
    podOwner,
    events,
  ],
  'replication-controller': [
    on('core', 'replicationcontrollers', `${read} update`),
    part('core', 'replicationcontrollers', 'status'),
    part('core', 'replicationcontrollers', 'finalizers'),
    podOwner,
    events,
  ],
  'resource-claim-controller': [
    on('core', 'pods', read),
    part('core', 'pods', 'finalizers'),
    on(dra, 'resourceclaims', `${read} create delete`),
    on(dra, 'resourceclaims resourceclaims/status', 'update patch'),
    on('core', 'pods/status', 'update patch'),
    events,
  ],
  'resourcequota-controller': [on('*', '*', 'list watch'), part('core', 'resourcequotas', 'status'), events],
  'root-ca-cert-publisher': [on('core', 'configmaps', 'create update'), events],
  'route-controller': [on('core', 'nodes', 'list watch'), on('core', 'nodes/status', 'patch'), events],
  'selinux-warning-controller': [
    events,
    on('core', 'persistentvolumes', read),
    on('core', 'persistentvolumeclaims', read),
    on('core', 'pods', read),
    on(storage, 'csidrivers', read),
  ],
  'service-account-controller': [on('core', 'serviceaccounts', 'create'), events],
  'service-cidrs-controller': [
    on('networking.k8s.io', 'servicecidrs', `${read} patch update`),
    on('networking.k8s.io', 'servicecidrs/finalizers', 'patch update'),
    on('networking.k8s.io', 'servicecidrs/status', 'patch update'),
    on('networking.k8s.io', 'ipaddresses', read),
    events,
  ],
  'service-controller': [
    on('core', 'services', read),
    on('core', 'services/status', 'patch update'),
    on('core', 'nodes', 'list watch'),
    events,
  ],
  'statefulset-controller': [
    on('core', 'pods', 'list watch'),
    on('apps', 'statefulsets', read),
    part('apps', 'statefulsets', 'status'),
    part('apps', 'statefulsets', 'finalizers'),
    on('core', 'pods', 'get create delete update patch'),
    revisions,
    on('core', 'persistentvolumeclaims', `${read} create`),
    on('core', 'persistentvolumeclaims', 'update delete'),
    part('core', 'pods', 'finalizers'),
    events,
  ],
  'ttl-after-finished-controller': [on(batch, 'jobs', `${read} delete`), events],
  'ttl-controller': [on('core', 'nodes', `update patch list watch`), events],
  'validatingadmissionpolicy-status-controller': [
    on('admissionregistration.k8s.io', 'validatingadmissionpolicies', read),
    on('admissionregistration.k8s.io', 'validatingadmissionpolicies/status', 'get patch update'),
    events,
  ],
  'volumeattributesclass-protection-controller': [
    on('core', 'persistentvolumeclaims', read),
    on('core', 'persistentvolumes', read),
    on(storage, 'volumeattributesclasses', `${read} update`),
    events,
  ],
}

const prefix = 'system:controller:'
/** Names of service accounts in kube-system. */
export const controllerNames: readonly string[] = Object.keys(rules)
export const controllerRoles: readonly ClusterRole[] = Object.entries(rules).map(([name, own]) => clusterRole(prefix + name, [...own]))
export const controllerRoleBindings: readonly ClusterRoleBinding[] = controllerNames.map(name =>
  clusterBinding(prefix + name, [account(name)]),
)
