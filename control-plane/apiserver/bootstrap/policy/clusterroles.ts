/** The ClusterRoles of every cluster and whom they are bound to (plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go of v1.35). */
import type { ClusterRole } from '#shared/api/rbac/clusterrole.ts'
import type { ClusterRoleBinding } from '#shared/api/rbac/clusterrolebinding.ts'
import { clusterBinding, clusterRole, delegation, events, group, on, paths, read, readWrite, user, write } from './define.ts'
import { nodeRules } from './noderules.ts'

const apps = 'daemonsets deployments deployments/scale replicasets replicasets/scale'
const legacy = 'ingresses networkpolicies replicationcontrollers/scale'
const gatewayAPI = 'gateway.networking.k8s.io'
const csr = 'certificates.k8s.io'
const health = '/healthz /livez /readyz'
const leader = (name: string, verbs: string) => [
  on('coordination.k8s.io', 'leases', 'create'),
  on('coordination.k8s.io', 'leases', verbs, name),
]
const approver = (signer: string): ClusterRole =>
  clusterRole(`system:certificates.k8s.io:${signer}-approver`, [on(csr, 'signers', 'approve', `kubernetes.io/${signer}`)])

/** What people get. */
const facing: readonly ClusterRole[] = [
  clusterRole('cluster-admin', [on('*', '*', '*'), { verbs: ['*'], nonResourceURLs: ['*'] }]),
  clusterRole('admin', [], { gathers: 'admin' }),
  clusterRole('edit', [], { gathers: 'edit', partOf: 'admin' }),
  clusterRole('view', [], { gathers: 'view', partOf: 'edit' }),
  clusterRole(
    'system:aggregate-to-admin',
    [on('authorization.k8s.io', 'localsubjectaccessreviews', 'create'), on('rbac.authorization.k8s.io', 'roles rolebindings', readWrite)],
    { partOf: 'admin' },
  ),
  clusterRole(
    'system:aggregate-to-edit',
    [
      on('core', 'pods/attach pods/proxy pods/exec pods/portforward secrets services/proxy', read),
      on('core', 'serviceaccounts', 'impersonate'),
      on('core', 'pods pods/attach pods/proxy pods/exec pods/portforward', write),
      on('core', 'pods/eviction', 'create'),
      on(
        'core',
        'configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets serviceaccounts services services/proxy',
        write,
      ),
      on('core', 'serviceaccounts/token', 'create'),
      on('apps', `${apps} deployments/rollback statefulsets statefulsets/scale`, write),
      on('autoscaling', 'horizontalpodautoscalers', write),
      on('batch', 'jobs cronjobs', write),
      on('extensions', `${apps} deployments/rollback ${legacy}`, write),
      on('policy', 'poddisruptionbudgets', write),
      on('networking.k8s.io', 'networkpolicies ingresses', write),
      on('coordination.k8s.io', 'leases', readWrite),
      on('resource.k8s.io', 'resourceclaims resourceclaimtemplates', write),
    ],
    { partOf: 'edit' },
  ),
  clusterRole(
    'system:aggregate-to-view',
    [
      on(
        'core',
        'configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status',
        read,
      ),
      on(
        'core',
        'bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status resourcequotas resourcequotas/status',
        read,
      ),
      on('core', 'namespaces', read),
      on('discovery.k8s.io', 'endpointslices', read),
      on(
        'apps',
        `${apps} controllerrevisions daemonsets/status deployments/status replicasets/status statefulsets statefulsets/scale statefulsets/status`,
        read,
      ),
      on('autoscaling', 'horizontalpodautoscalers horizontalpodautoscalers/status', read),
      on('batch', 'cronjobs cronjobs/status jobs jobs/status', read),
      on('extensions', `${apps} daemonsets/status deployments/status replicasets/status ingresses/status ${legacy}`, read),
      on('policy', 'poddisruptionbudgets poddisruptionbudgets/status', read),
      on('networking.k8s.io', 'ingresses ingresses/status networkpolicies', read),
      on('resource.k8s.io', 'resourceclaims resourceclaims/status resourceclaimtemplates', read),
    ],
    { partOf: 'view' },
  ),
]

/** What everybody may who comes in. */
const common: readonly ClusterRole[] = [
  clusterRole('system:discovery', [paths(`${health} /api /api/* /apis /apis/* /openapi /openapi/* /version /version/`)]),
  clusterRole('system:public-info-viewer', [paths(`${health} /version /version/`)]),
  clusterRole('system:basic-user', [
    on('authorization.k8s.io', 'selfsubjectaccessreviews selfsubjectrulesreviews', 'create'),
    on('authentication.k8s.io', 'selfsubjectreviews', 'create'),
  ]),
  clusterRole('system:service-account-issuer-discovery', [
    paths('/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/'),
  ]),
  clusterRole('system:monitoring', [
    paths(`${health} /healthz/* /livez/* /readyz/* /metrics /metrics/slis`),
    on('core', 'nodes/metrics', 'get'),
  ]),
]

/** What components get. */
const components: readonly ClusterRole[] = [
  clusterRole('system:auth-delegator', delegation),
  clusterRole('system:heapster', [on('core', 'events namespaces nodes pods', read), on('extensions', 'deployments', read)]),
  clusterRole('system:kube-aggregator', [on('core', 'endpoints services', read)]),
  clusterRole('system:kube-controller-manager', [
    events,
    ...leader('kube-controller-manager', 'get update'),
    on('core', 'secrets serviceaccounts', 'create'),
    on('core', 'secrets', 'delete'),
    on('core', 'configmaps namespaces secrets serviceaccounts', 'get'),
    on('core', 'secrets serviceaccounts', 'update'),
    ...delegation,
    on('*', '*', 'list watch'),
    on('core', 'serviceaccounts/token', 'create'),
  ]),
  // Not upstream's: there every cloud brings its own.
  clusterRole('system:cloud-controller-manager', [
    events,
    ...leader('cloud-controller-manager', 'get update'),
    ...delegation,
    on('core', 'nodes', `${read} delete patch`),
    on('core', 'nodes/status', 'patch'),
    on('core', 'namespaces pods', read),
    on('core', 'services', `${read} patch`),
    on('core', 'services/status', 'patch'),
    on('discovery.k8s.io', 'endpointslices', read),
    on('networking.k8s.io', 'ingresses', read),
    on('networking.k8s.io', 'ingressclasses', `${read} create`),
    on('apiextensions.k8s.io', 'customresourcedefinitions', read),
    on(gatewayAPI, 'gatewayclasses gateways', read),
  ]),
  clusterRole('system:ingress-controller', [
    events,
    on('core', 'services secrets namespaces', read),
    on('discovery.k8s.io', 'endpointslices', read),
    on('networking.k8s.io', 'ingresses ingressclasses', read),
    on('networking.k8s.io', 'ingresses/status', 'patch'),
    on('apiextensions.k8s.io', 'customresourcedefinitions', read),
    on(gatewayAPI, 'gatewayclasses gateways httproutes grpcroutes tlsroutes referencegrants', read),
    on(gatewayAPI, 'gatewayclasses/status gateways/status httproutes/status grpcroutes/status tlsroutes/status', 'patch'),
  ]),
  clusterRole('system:kube-dns', [on('core', 'endpoints services', 'list watch')]),
  clusterRole('system:kube-scheduler', [
    events,
    ...leader('kube-scheduler', 'get list update watch'),
    on('coordination.k8s.io', 'leasecandidates', readWrite),
    on('core', 'nodes', read),
    on('core', 'pods', `${read} delete`),
    on('core', 'bindings pods/binding', 'create'),
    on('core', 'pods/status', 'patch update'),
    on('core', 'replicationcontrollers services', read),
    on('apps extensions', 'replicasets', read),
    on('apps', 'statefulsets', read),
    on('policy', 'poddisruptionbudgets', read),
    on('core', 'persistentvolumeclaims persistentvolumes', read),
    ...delegation,
    on('storage.k8s.io', 'csinodes', read),
    on('storage.k8s.io', 'volumeattachments', read),
    on('core', 'namespaces', read),
    on('storage.k8s.io', 'csidrivers', read),
    on('storage.k8s.io', 'csistoragecapacities', read),
    on('resource.k8s.io', 'deviceclasses', read),
    on('resource.k8s.io', 'resourceclaims', `${read} patch update`),
    on('resource.k8s.io', 'resourceclaims/status', `${read} patch update`),
    on('core', 'pods/finalizers', `${read} patch update`),
    on('resource.k8s.io', 'resourceslices', read),
  ]),
  clusterRole('system:kubelet-api-admin', [
    on('core', 'nodes', read),
    on('core', 'nodes', 'proxy'),
    on('core', 'nodes/log nodes/metrics nodes/proxy nodes/stats', '*'),
    on('core', 'nodes/configz nodes/healthz nodes/pods', '*'),
  ]),
  clusterRole('system:node', [...nodeRules]),
  clusterRole('system:node-bootstrapper', [on(csr, 'certificatesigningrequests', 'create get list watch')]),
  clusterRole('system:node-problem-detector', [on('core', 'nodes', 'get'), on('core', 'nodes/status', 'patch'), events]),
  clusterRole('system:node-proxier', [
    on('core', 'endpoints services', 'list watch'),
    on('core', 'nodes', read),
    events,
    on('networking.k8s.io', 'servicecidrs', 'list watch'),
    on('discovery.k8s.io', 'endpointslices', 'list watch'),
  ]),
  clusterRole('system:persistent-volume-provisioner', [
    on('core', 'persistentvolumes', `${read} create delete`),
    on('core', 'persistentvolumeclaims', `${read} update`),
    on('storage.k8s.io', 'storageclasses', read),
    on('core', 'events', 'watch'),
    events,
  ]),
  clusterRole('system:volume-scheduler', [
    on('core', 'persistentvolumes', `${read} patch update`),
    on('storage.k8s.io', 'storageclasses', read),
    on('core', 'persistentvolumeclaims', `${read} patch update`),
  ]),
  clusterRole('system:certificates.k8s.io:certificatesigningrequests:nodeclient', [
    on(csr, 'certificatesigningrequests/nodeclient', 'create'),
  ]),
  clusterRole('system:certificates.k8s.io:certificatesigningrequests:selfnodeclient', [
    on(csr, 'certificatesigningrequests/selfnodeclient', 'create'),
  ]),
  clusterRole('system:cluster-trust-bundle-discovery', [on(csr, 'clustertrustbundles', read)]),
  ...['kube-apiserver-client', 'kube-apiserver-client-kubelet', 'kubelet-serving', 'legacy-unknown'].map(approver),
]

export const clusterRoles: readonly ClusterRole[] = [...facing, ...common, ...components]

const authenticated = group('system:authenticated')
const unauthenticated = group('system:unauthenticated')
export const clusterRoleBindings: readonly ClusterRoleBinding[] = [
  clusterBinding('cluster-admin', [group('system:masters')]),
  clusterBinding('system:monitoring', [group('system:monitoring')]),
  clusterBinding('system:discovery', [authenticated]),
  clusterBinding('system:basic-user', [authenticated]),
  clusterBinding('system:public-info-viewer', [authenticated, unauthenticated]),
  clusterBinding('system:node-proxier', [user('system:kube-proxy')]),
  clusterBinding('system:kube-controller-manager', [user('system:kube-controller-manager')]),
  clusterBinding('system:cloud-controller-manager', [user('system:cloud-controller-manager')]),
  clusterBinding('system:ingress-controller', [{ kind: 'ServiceAccount', name: 'ingress-controller', namespace: 'kube-system' }]),
  clusterBinding('system:kube-dns', [{ kind: 'ServiceAccount', name: 'kube-dns', namespace: 'kube-system' }]),
  clusterBinding('system:kube-scheduler', [user('system:kube-scheduler')]),
  clusterBinding('system:volume-scheduler', [user('system:kube-scheduler')]),
  clusterBinding('system:node', []),
  clusterBinding('system:service-account-issuer-discovery', [group('system:serviceaccounts')]),
  clusterBinding('system:cluster-trust-bundle-discovery', [group('system:serviceaccounts')]),
]
