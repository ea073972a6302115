/** The desired behaviour of a pod. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { bool, int32, int64, list, map, obj, opt, quantity, req, str, type Infer } from '../../../machinery/schema.ts'
import { localObjectReference } from '../objectreference.ts'
import { affinity } from './affinity.ts'
import { container } from './container.ts'
import { hostAlias, podDNSConfig } from './dns.ts'
import { ephemeralContainer } from './ephemeralcontainer.ts'
import { resourceRequirements } from './resourcerequirements.ts'
import { podOS, podReadinessGate, podResourceClaim, podSchedulingGate, toleration, topologySpreadConstraint, workloadReference } from './scheduling.ts'
import { podSecurityContext } from './securitycontext.ts'
import { volume } from './volume.ts'

export const podSpec = obj('io.k8s.api.core.v1.PodSpec', '', () => ({
  volumes: opt(1, list(volume), { listType: 'map', listMapKeys: ['name'], mergeKey: 'name', patchStrategy: 'merge,retainKeys' }),
  initContainers: opt(20, list(container), { listType: 'map', listMapKeys: ['name'], mergeKey: 'name', patchStrategy: 'merge' }),
  containers: req(2, list(container), { listType: 'map', listMapKeys: ['name'], mergeKey: 'name', patchStrategy: 'merge' }),
  ephemeralContainers: opt(34, list(ephemeralContainer), { listType: 'map', listMapKeys: ['name'], mergeKey: 'name', patchStrategy: 'merge' }),
  restartPolicy: opt(3, str(['Always', 'OnFailure', 'Never']), { default: 'Always' }),
  terminationGracePeriodSeconds: opt(4, int64(), { default: 30 }),
  activeDeadlineSeconds: opt(5, int64()),
  dnsPolicy: opt(6, str(['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None']), { default: 'ClusterFirst' }),
  nodeSelector: opt(7, map(str()), { mapType: 'atomic' }),
  serviceAccountName: opt(8, str()),
  serviceAccount: opt(9, str()),
  automountServiceAccountToken: opt(21, bool()),
  nodeName: opt(10, str()),
  hostNetwork: opt(11, bool(), { pointer: false }),
  hostPID: opt(12, bool(), { pointer: false }),
  hostIPC: opt(13, bool(), { pointer: false }),
  shareProcessNamespace: opt(27, bool()),
  securityContext: opt(14, podSecurityContext, { default: {} }),
  imagePullSecrets: opt(15, list(localObjectReference), { listType: 'map', listMapKeys: ['name'], mergeKey: 'name', patchStrategy: 'merge' }),
  hostname: opt(16, str()),
  subdomain: opt(17, str()),
  affinity: opt(18, affinity),
  schedulerName: opt(19, str(), { default: 'default-scheduler' }),
  tolerations: opt(22, list(toleration)),
  hostAliases: opt(23, list(hostAlias), { listType: 'map', listMapKeys: ['ip'], mergeKey: 'ip', patchStrategy: 'merge' }),
  priorityClassName: opt(24, str()),
  priority: opt(25, int32()),
  dnsConfig: opt(26, podDNSConfig),
  readinessGates: opt(28, list(podReadinessGate)),
  runtimeClassName: opt(29, str(), { pointer: true }),
  enableServiceLinks: opt(30, bool()),
  preemptionPolicy: opt(31, str(['PreemptLowerPriority', 'Never']), { pointer: true }),
  overhead: opt(32, map(quantity())),
  topologySpreadConstraints: opt(33, list(topologySpreadConstraint), {
    listType: 'map',
    listMapKeys: ['topologyKey', 'whenUnsatisfiable'],
    mergeKey: 'topologyKey',
    patchStrategy: 'merge',
  }),
  setHostnameAsFQDN: opt(35, bool()),
  os: opt(36, podOS),
  hostUsers: opt(37, bool()),
  schedulingGates: opt(38, list(podSchedulingGate), { listType: 'map', listMapKeys: ['name'], mergeKey: 'name', patchStrategy: 'merge' }),
  resourceClaims: opt(39, list(podResourceClaim), { listType: 'map', listMapKeys: ['name'], mergeKey: 'name', patchStrategy: 'merge,retainKeys' }),
  resources: opt(40, resourceRequirements),
  hostnameOverride: opt(41, str(), { pointer: true }),
  workloadRef: opt(42, workloadReference),
}))
export type PodSpec = Infer<typeof podSpec>
