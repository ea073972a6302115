/** The desired behaviour of a pod. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { bool, int32, int64, list, map, obj, opt, quantity, req, str, type Infer } from '../../../machinery/schema.ts'
import { localObjectReference } from '../objectreference.ts'
import { affinity } from './affinity.ts'
import { container } from './container.ts'
import { hostAlias, podDNSConfig } from './dns.ts'
import { ephemeralContainer } from './ephemeralcontainer.ts'
import { resourceRequirements } from './resourcerequirements.ts'
import {
  podOS,
  podReadinessGate,
  podResourceClaim,
  podSchedulingGate,
  toleration,
  topologySpreadConstraint,
  workloadReference,
} from './scheduling.ts'
import { podSecurityContext } from './securitycontext.ts'
import { volume } from './volume.ts'

export const podSpec = obj('io.k8s.api.core.v1.PodSpec', 'What a pod should run, where and how.', () => ({
  volumes: opt(1, list(volume), {
    doc: 'Volumes that containers may mount.',
    listType: 'map',
    listMapKeys: ['name'],
    mergeKey: 'name',
    patchStrategy: 'merge,retainKeys',
  }),
  initContainers: opt(20, list(container), {
    doc: 'Containers that run one after the other before the others start.',
    listType: 'map',
    listMapKeys: ['name'],
    mergeKey: 'name',
    patchStrategy: 'merge',
  }),
  containers: req(2, list(container), {
    doc: 'The containers; at least one.',
    listType: 'map',
    listMapKeys: ['name'],
    mergeKey: 'name',
    patchStrategy: 'merge',
  }),
  ephemeralContainers: opt(34, list(ephemeralContainer), {
    doc: 'Containers added for debugging, through the ephemeralcontainers subresource.',
    listType: 'map',
    listMapKeys: ['name'],
    mergeKey: 'name',
    patchStrategy: 'merge',
  }),
  restartPolicy: opt(3, str(['Always', 'OnFailure', 'Never']), {
    doc: 'Whether ended containers are restarted: Always, OnFailure or Never.',
    default: 'Always',
  }),
  terminationGracePeriodSeconds: opt(4, int64(), { doc: 'Seconds that containers have to stop before they are killed.', default: 30 }),
  activeDeadlineSeconds: opt(5, int64(), { doc: 'Seconds after which the pod is failed and killed.' }),
  dnsPolicy: opt(6, str(['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None']), {
    doc: 'Where names are resolved: ClusterFirst, ClusterFirstWithHostNet, Default or None.',
    default: 'ClusterFirst',
  }),
  nodeSelector: opt(7, map(str()), { doc: 'Labels that the node must have.', mapType: 'atomic' }),
  serviceAccountName: opt(8, str(), { doc: 'Service account that the pod acts as.' }),
  serviceAccount: opt(9, str(), { doc: 'Old name of serviceAccountName.' }),
  automountServiceAccountToken: opt(21, bool(), { doc: 'Whether a token is mounted without being asked for.' }),
  nodeName: opt(10, str(), { doc: 'The node that the pod was assigned to.' }),
  hostNetwork: opt(11, bool(), { doc: "Uses the node's network.", pointer: false }),
  hostPID: opt(12, bool(), { doc: "Uses the node's process ids.", pointer: false }),
  hostIPC: opt(13, bool(), { doc: "Uses the node's IPC.", pointer: false }),
  shareProcessNamespace: opt(27, bool(), { doc: 'One process namespace for all containers.' }),
  securityContext: opt(14, podSecurityContext, { doc: 'Security settings of all containers.', default: {}, pointer: true }),
  imagePullSecrets: opt(15, list(localObjectReference), {
    doc: 'Secrets with credentials for image registries.',
    listType: 'map',
    listMapKeys: ['name'],
    mergeKey: 'name',
    patchStrategy: 'merge',
  }),
  hostname: opt(16, str(), { doc: 'Host name; the name of the pod when empty.' }),
  subdomain: opt(17, str(), { doc: 'Makes the fully qualified name hostname.subdomain.namespace.svc.domain.' }),
  affinity: opt(18, affinity, { doc: 'Where the pod likes to run.' }),
  schedulerName: opt(19, str(), { doc: 'Which scheduler assigns the pod.', default: 'default-scheduler' }),
  tolerations: opt(22, list(toleration), { doc: 'Taints that the pod puts up with.' }),
  hostAliases: opt(23, list(hostAlias), {
    doc: 'Further lines of /etc/hosts.',
    listType: 'map',
    listMapKeys: ['ip'],
    mergeKey: 'ip',
    patchStrategy: 'merge',
  }),
  priorityClassName: opt(24, str(), { doc: 'Class that gives the priority.' }),
  priority: opt(25, int32(), { doc: 'The priority; higher is more important.' }),
  dnsConfig: opt(26, podDNSConfig, { doc: 'Settings of the resolver, added to those of the policy.' }),
  readinessGates: opt(28, list(podReadinessGate), { doc: 'Conditions that must be true beside the readiness of the containers.' }),
  runtimeClassName: opt(29, str(), { doc: 'Runtime class that runs the pod.', pointer: true }),
  enableServiceLinks: opt(30, bool(), { doc: 'Whether Services appear as environment variables.' }),
  preemptionPolicy: opt(31, str(['PreemptLowerPriority', 'Never']), {
    doc: 'Whether pods of lower priority may be evicted for it: PreemptLowerPriority or Never.',
    pointer: true,
  }),
  overhead: opt(32, map(quantity()), { doc: 'What running the pod costs beside its containers.' }),
  topologySpreadConstraints: opt(33, list(topologySpreadConstraint), {
    doc: 'How the pods of a group are spread.',
    listType: 'map',
    listMapKeys: ['topologyKey', 'whenUnsatisfiable'],
    mergeKey: 'topologyKey',
    patchStrategy: 'merge',
  }),
  setHostnameAsFQDN: opt(35, bool(), { doc: 'Sets the host name to the fully qualified one.' }),
  os: opt(36, podOS, { doc: 'Operating system that the pod is made for.' }),
  hostUsers: opt(37, bool(), { doc: 'Whether user ids are those of the node.' }),
  schedulingGates: opt(38, list(podSchedulingGate), {
    doc: 'Keep the pod from being scheduled until all are removed.',
    listType: 'map',
    listMapKeys: ['name'],
    mergeKey: 'name',
    patchStrategy: 'merge',
  }),
  resourceClaims: opt(39, list(podResourceClaim), {
    doc: 'Claims that containers may use.',
    listType: 'map',
    listMapKeys: ['name'],
    mergeKey: 'name',
    patchStrategy: 'merge,retainKeys',
  }),
  resources: opt(40, resourceRequirements, { doc: 'Compute resources of the pod as a whole.' }),
  hostnameOverride: opt(41, str(), { doc: 'Host name in place of all others.', pointer: true }),
  workloadRef: opt(42, workloadReference, { doc: 'The workload that the pod is scheduled with.' }),
}))
export type PodSpec = Infer<typeof podSpec>
