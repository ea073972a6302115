/**
 * What a node may do, as far as the Node authorizer and NodeRestriction do not narrow it to what is its own (NodeRules of policy.go,
 * v1.35).
 */
import type { PolicyRule } from '#shared/api/rbac/policyrule.ts'
import { on, read } from './define.ts'

export const nodeRules: readonly PolicyRule[] = [
  on('authentication.k8s.io', 'tokenreviews', 'create'),
  on('authorization.k8s.io', 'subjectaccessreviews localsubjectaccessreviews', 'create'),
  on('core', 'services', read),
  on('core', 'nodes', `${read} create`),
  on('core', 'nodes/status', 'update patch'),
  on('core', 'nodes', 'update patch'),
  on('core', 'events', 'create update patch'),
  on('core', 'pods', read),
  on('core', 'pods', 'create delete'),
  on('core', 'pods/status', 'update patch'),
  on('core', 'pods/eviction', 'create'),
  on('core', 'secrets configmaps', read),
  on('core', 'persistentvolumeclaims persistentvolumes', 'get'),
  on('core', 'endpoints', 'get'),
  on('certificates.k8s.io', 'certificatesigningrequests', `${read} create`),
  on('coordination.k8s.io', 'leases', 'get create update patch delete'),
  on('storage.k8s.io', 'volumeattachments', 'get'),
  on('core', 'serviceaccounts/token', 'create'),
  on('core', 'persistentvolumeclaims/status', 'get update patch'),
  on('storage.k8s.io', 'csidrivers', read),
  on('storage.k8s.io', 'csinodes', 'get create update patch delete'),
  on('node.k8s.io', 'runtimeclasses', read),
  on('resource.k8s.io', 'resourceclaims', 'get'),
  on('resource.k8s.io', 'resourceslices', 'deletecollection'),
  on('core', 'serviceaccounts', 'get'),
  on('certificates.k8s.io', 'clustertrustbundles', read),
]
