/** The names of every built-in kind: what clients and controllers import. Definitions (schemas, rules) spread these. */
import type { Deployment } from './apps/deployment.ts'
import type { ReplicaSet } from './apps/replicaset.ts'
import type { CertificateSigningRequest } from './certificates/certificatesigningrequest.ts'
import type { ClusterTrustBundle } from './certificates/clustertrustbundle.ts'
import type { Lease } from './coordination/lease.ts'
import type { ConfigMap } from './core/configmap.ts'
import type { Endpoints } from './core/endpoints.ts'
import type { Event } from './core/event.ts'
import type { Namespace } from './core/namespace.ts'
import type { Node } from './core/node.ts'
import type { Pod } from './core/pod.ts'
import type { Secret } from './core/secret.ts'
import type { Service } from './core/service.ts'
import type { ServiceAccount } from './core/serviceaccount.ts'
import type { LimitRange } from './core/limitrange.ts'
import type { ResourceQuota } from './core/resourcequota.ts'
import type { PriorityClass } from './scheduling/priorityclass.ts'
import type { EndpointSlice } from './discovery/endpointslice.ts'
import type { ClusterRole } from './rbac/clusterrole.ts'
import type { ClusterRoleBinding } from './rbac/clusterrolebinding.ts'
import type { Role } from './rbac/role.ts'
import type { RoleBinding } from './rbac/rolebinding.ts'
import type { Ingress } from './networking/ingress.ts'
import type { IngressClass } from './networking/ingressclass.ts'
import type { IPAddress } from './networking/ipaddress.ts'
import type { NetworkPolicy } from './networking/networkpolicy.ts'
import type { ServiceCIDR } from './networking/servicecidr.ts'
import type { FlowSchema } from './flowcontrol/flowschema.ts'
import type { PriorityLevelConfiguration } from './flowcontrol/prioritylevelconfiguration.ts'
import type { PodDisruptionBudget } from './policy/poddisruptionbudget.ts'
import type { DaemonSet } from './apps/daemonset.ts'
import type { ControllerRevision } from './apps/controllerrevision.ts'
import type { PodTemplate } from './core/podtemplatekind.ts'
import type { ReplicationController } from './core/replicationcontroller.ts'
import type { PersistentVolume } from './core/persistentvolume.ts'
import type { PersistentVolumeClaim } from './core/persistentvolumeclaim.ts'
import type { StorageClass } from './storage/storageclass.ts'
import type { CSIDriver } from './storage/csidriver.ts'
import type { CSINode } from './storage/csinode.ts'
import type { CSIStorageCapacity } from './storage/csistoragecapacity.ts'
import type { VolumeAttachment } from './storage/volumeattachment.ts'
import type { VolumeAttributesClass } from './storage/volumeattributesclass.ts'
import type { RuntimeClass } from './node/runtimeclass.ts'
import type { Job } from './batch/job.ts'
import type { CronJob } from './batch/cronjob.ts'
import type { ValidatingWebhookConfiguration } from './admissionregistration/validatingwebhookconfiguration.ts'
import type { MutatingWebhookConfiguration } from './admissionregistration/mutatingwebhookconfiguration.ts'
import type { MutatingAdmissionPolicy } from './admissionregistration/mutatingadmissionpolicy.ts'
import type { MutatingAdmissionPolicyBinding } from './admissionregistration/mutatingadmissionpolicybinding.ts'
import type { ValidatingAdmissionPolicy } from './admissionregistration/validatingadmissionpolicy.ts'
import type { ValidatingAdmissionPolicyBinding } from './admissionregistration/validatingadmissionpolicybinding.ts'
import type { APIService } from './apiregistration/apiservice.ts'
import type { StatefulSet } from './apps/statefulset.ts'
import type { CustomResourceDefinition } from './apiextensions/customresourcedefinition.ts'
import type { DeviceClass } from './resource/deviceclass.ts'
import type { ResourceClaim } from './resource/resourceclaim.ts'
import type { ResourceClaimTemplate } from './resource/resourceclaimtemplate.ts'
import type { ResourceSlice } from './resource/resourceslice.ts'
import type { HorizontalPodAutoscaler } from './autoscaling/horizontalpodautoscaler.ts'
import type { Kind } from './resource.ts'

const kind = <T>(group: string, version: string, name: string, plural: string, namespaced = true): Kind<T> => ({
  group,
  version,
  kind: name,
  plural,
  namespaced,
})

export const namespaces = kind<Namespace>('', 'v1', 'Namespace', 'namespaces', false)
export const nodes = kind<Node>('', 'v1', 'Node', 'nodes', false)
export const pods = kind<Pod>('', 'v1', 'Pod', 'pods')
export const services = kind<Service>('', 'v1', 'Service', 'services')
export const endpoints = kind<Endpoints>('', 'v1', 'Endpoints', 'endpoints')
export const configMaps = kind<ConfigMap>('', 'v1', 'ConfigMap', 'configmaps')
export const secrets = kind<Secret>('', 'v1', 'Secret', 'secrets')
export const serviceAccounts = kind<ServiceAccount>('', 'v1', 'ServiceAccount', 'serviceaccounts')
export const limitRanges = kind<LimitRange>('', 'v1', 'LimitRange', 'limitranges')
export const resourceQuotas = kind<ResourceQuota>('', 'v1', 'ResourceQuota', 'resourcequotas')
export const priorityClasses = kind<PriorityClass>('scheduling.k8s.io', 'v1', 'PriorityClass', 'priorityclasses', false)
export const events = kind<Event>('', 'v1', 'Event', 'events')
export const endpointSlices = kind<EndpointSlice>('discovery.k8s.io', 'v1', 'EndpointSlice', 'endpointslices')
export const leases = kind<Lease>('coordination.k8s.io', 'v1', 'Lease', 'leases')
export const replicaSets = kind<ReplicaSet>('apps', 'v1', 'ReplicaSet', 'replicasets')
export const daemonSets = kind<DaemonSet>('apps', 'v1', 'DaemonSet', 'daemonsets')
export const controllerRevisions = kind<ControllerRevision>('apps', 'v1', 'ControllerRevision', 'controllerrevisions')
export const podTemplates = kind<PodTemplate>('', 'v1', 'PodTemplate', 'podtemplates')
export const replicationControllers = kind<ReplicationController>('', 'v1', 'ReplicationController', 'replicationcontrollers')
export const jobs = kind<Job>('batch', 'v1', 'Job', 'jobs')
export const cronJobs = kind<CronJob>('batch', 'v1', 'CronJob', 'cronjobs')
export const statefulSets = kind<StatefulSet>('apps', 'v1', 'StatefulSet', 'statefulsets')
export const horizontalPodAutoscalers = kind<HorizontalPodAutoscaler>(
  'autoscaling',
  'v2',
  'HorizontalPodAutoscaler',
  'horizontalpodautoscalers',
)
export const deployments = kind<Deployment>('apps', 'v1', 'Deployment', 'deployments')

const rbac = 'rbac.authorization.k8s.io'
export const roles = kind<Role>(rbac, 'v1', 'Role', 'roles')
export const roleBindings = kind<RoleBinding>(rbac, 'v1', 'RoleBinding', 'rolebindings')
export const clusterRoles = kind<ClusterRole>(rbac, 'v1', 'ClusterRole', 'clusterroles', false)
export const clusterRoleBindings = kind<ClusterRoleBinding>(rbac, 'v1', 'ClusterRoleBinding', 'clusterrolebindings', false)
export const networkPolicies = kind<NetworkPolicy>('networking.k8s.io', 'v1', 'NetworkPolicy', 'networkpolicies')
export const ingresses = kind<Ingress>('networking.k8s.io', 'v1', 'Ingress', 'ingresses')
export const ingressClasses = kind<IngressClass>('networking.k8s.io', 'v1', 'IngressClass', 'ingressclasses', false)
export const ipAddresses = kind<IPAddress>('networking.k8s.io', 'v1', 'IPAddress', 'ipaddresses', false)
export const serviceCIDRs = kind<ServiceCIDR>('networking.k8s.io', 'v1', 'ServiceCIDR', 'servicecidrs', false)

export const certificateSigningRequests = kind<CertificateSigningRequest>(
  'certificates.k8s.io',
  'v1',
  'CertificateSigningRequest',
  'certificatesigningrequests',
  false,
)
export const clusterTrustBundles = kind<ClusterTrustBundle>(
  'certificates.k8s.io',
  'v1beta1',
  'ClusterTrustBundle',
  'clustertrustbundles',
  false,
)

const flowcontrol = 'flowcontrol.apiserver.k8s.io'
export const flowSchemas = kind<FlowSchema>(flowcontrol, 'v1', 'FlowSchema', 'flowschemas', false)
export const priorityLevelConfigurations = kind<PriorityLevelConfiguration>(
  flowcontrol,
  'v1',
  'PriorityLevelConfiguration',
  'prioritylevelconfigurations',
  false,
)
export const podDisruptionBudgets = kind<PodDisruptionBudget>('policy', 'v1', 'PodDisruptionBudget', 'poddisruptionbudgets')
export const persistentVolumes = kind<PersistentVolume>('', 'v1', 'PersistentVolume', 'persistentvolumes', false)
export const persistentVolumeClaims = kind<PersistentVolumeClaim>('', 'v1', 'PersistentVolumeClaim', 'persistentvolumeclaims')
export const storageClasses = kind<StorageClass>('storage.k8s.io', 'v1', 'StorageClass', 'storageclasses', false)
export const csiDrivers = kind<CSIDriver>('storage.k8s.io', 'v1', 'CSIDriver', 'csidrivers', false)
export const csiNodes = kind<CSINode>('storage.k8s.io', 'v1', 'CSINode', 'csinodes', false)
export const csiStorageCapacities = kind<CSIStorageCapacity>('storage.k8s.io', 'v1', 'CSIStorageCapacity', 'csistoragecapacities')
export const volumeAttachments = kind<VolumeAttachment>('storage.k8s.io', 'v1', 'VolumeAttachment', 'volumeattachments', false)
export const volumeAttributesClasses = kind<VolumeAttributesClass>(
  'storage.k8s.io',
  'v1',
  'VolumeAttributesClass',
  'volumeattributesclasses',
  false,
)
export const runtimeClasses = kind<RuntimeClass>('node.k8s.io', 'v1', 'RuntimeClass', 'runtimeclasses', false)

export const validatingWebhookConfigurations = kind<ValidatingWebhookConfiguration>(
  'admissionregistration.k8s.io',
  'v1',
  'ValidatingWebhookConfiguration',
  'validatingwebhookconfigurations',
  false,
)
export const mutatingWebhookConfigurations = kind<MutatingWebhookConfiguration>(
  'admissionregistration.k8s.io',
  'v1',
  'MutatingWebhookConfiguration',
  'mutatingwebhookconfigurations',
  false,
)
export const validatingAdmissionPolicies = kind<ValidatingAdmissionPolicy>(
  'admissionregistration.k8s.io',
  'v1',
  'ValidatingAdmissionPolicy',
  'validatingadmissionpolicies',
  false,
)
export const validatingAdmissionPolicyBindings = kind<ValidatingAdmissionPolicyBinding>(
  'admissionregistration.k8s.io',
  'v1',
  'ValidatingAdmissionPolicyBinding',
  'validatingadmissionpolicybindings',
  false,
)
export const mutatingAdmissionPolicies = kind<MutatingAdmissionPolicy>(
  'admissionregistration.k8s.io',
  'v1beta1',
  'MutatingAdmissionPolicy',
  'mutatingadmissionpolicies',
  false,
)
export const mutatingAdmissionPolicyBindings = kind<MutatingAdmissionPolicyBinding>(
  'admissionregistration.k8s.io',
  'v1beta1',
  'MutatingAdmissionPolicyBinding',
  'mutatingadmissionpolicybindings',
  false,
)
export const apiServices = kind<APIService>('apiregistration.k8s.io', 'v1', 'APIService', 'apiservices', false)

export const customResourceDefinitions = kind<CustomResourceDefinition>(
  'apiextensions.k8s.io',
  'v1',
  'CustomResourceDefinition',
  'customresourcedefinitions',
  false,
)

export const deviceClasses = kind<DeviceClass>('resource.k8s.io', 'v1', 'DeviceClass', 'deviceclasses', false)
export const resourceClaims = kind<ResourceClaim>('resource.k8s.io', 'v1', 'ResourceClaim', 'resourceclaims')
export const resourceClaimTemplates = kind<ResourceClaimTemplate>(
  'resource.k8s.io',
  'v1',
  'ResourceClaimTemplate',
  'resourceclaimtemplates',
)
export const resourceSlices = kind<ResourceSlice>('resource.k8s.io', 'v1', 'ResourceSlice', 'resourceslices', false)
