/** Every built-in resource. A new kind is a file with its definition and a line here. */
import { deployment } from './apps/deployment.ts'
import { replicaSet } from './apps/replicaset.ts'
import { certificateSigningRequest } from './certificates/certificatesigningrequest.ts'
import { clusterTrustBundle } from './certificates/clustertrustbundle.ts'
import { lease } from './coordination/lease.ts'
import { configMap } from './core/configmap.ts'
import { endpoints } from './core/endpoints.ts'
import { event } from './core/event.ts'
import { limitRange } from './core/limitrange.ts'
import { resourceQuota } from './core/resourcequota.ts'
import { namespace } from './core/namespace.ts'
import { node } from './core/node.ts'
import { pod } from './core/pod.ts'
import { secret } from './core/secret.ts'
import { service } from './core/service.ts'
import { serviceAccount } from './core/serviceaccount.ts'
import { endpointSlice } from './discovery/endpointslice.ts'
import { clusterRole } from './rbac/clusterrole.ts'
import { clusterRoleBinding } from './rbac/clusterrolebinding.ts'
import { role } from './rbac/role.ts'
import { roleBinding } from './rbac/rolebinding.ts'
import { ingress } from './networking/ingress.ts'
import { ingressClass } from './networking/ingressclass.ts'
import { ipAddress } from './networking/ipaddress.ts'
import { networkPolicy } from './networking/networkpolicy.ts'
import { serviceCIDR } from './networking/servicecidr.ts'
import { priorityClass } from './scheduling/priorityclass.ts'
import { flowSchema } from './flowcontrol/flowschema.ts'
import { priorityLevelConfiguration } from './flowcontrol/prioritylevelconfiguration.ts'
import { podDisruptionBudget } from './policy/poddisruptionbudget.ts'
import { daemonSet } from './apps/daemonset.ts'
import { controllerRevision } from './apps/controllerrevision.ts'
import { podTemplate } from './core/podtemplatekind.ts'
import { replicationController } from './core/replicationcontroller.ts'
import { persistentVolume } from './core/persistentvolume.ts'
import { persistentVolumeClaim } from './core/persistentvolumeclaim.ts'
import { storageClass } from './storage/storageclass.ts'
import { csiDriver } from './storage/csidriver.ts'
import { csiNode } from './storage/csinode.ts'
import { csiStorageCapacity } from './storage/csistoragecapacity.ts'
import { volumeAttachment } from './storage/volumeattachment.ts'
import { volumeAttributesClass } from './storage/volumeattributesclass.ts'
import { runtimeClass } from './node/runtimeclass.ts'
import { job } from './batch/job.ts'
import { cronJob } from './batch/cronjob.ts'
import { validatingWebhookConfiguration } from './admissionregistration/validatingwebhookconfiguration.ts'
import { mutatingWebhookConfiguration } from './admissionregistration/mutatingwebhookconfiguration.ts'
import { mutatingAdmissionPolicy } from './admissionregistration/mutatingadmissionpolicy.ts'
import { mutatingAdmissionPolicyBinding } from './admissionregistration/mutatingadmissionpolicybinding.ts'
import { validatingAdmissionPolicy } from './admissionregistration/validatingadmissionpolicy.ts'
import { validatingAdmissionPolicyBinding } from './admissionregistration/validatingadmissionpolicybinding.ts'
import { apiService } from './apiregistration/apiservice.ts'
import { statefulSet } from './apps/statefulset.ts'
import { customResourceDefinition } from './apiextensions/customresourcedefinition.ts'
import { deviceClass } from './resource/deviceclass.ts'
import { resourceClaim } from './resource/resourceclaim.ts'
import { resourceClaimTemplate } from './resource/resourceclaimtemplate.ts'
import { resourceSlice } from './resource/resourceslice.ts'
import { horizontalPodAutoscaler } from './autoscaling/horizontalpodautoscaler.ts'
import type { Resource } from './resource.ts'

export const resources: readonly Resource[] = [
  configMap,
  endpoints,
  event,
  limitRange,
  resourceQuota,
  priorityClass,
  namespace,
  node,
  pod,
  secret,
  serviceAccount,
  service,
  deployment,
  horizontalPodAutoscaler,
  statefulSet,
  cronJob,
  job,
  replicationController,
  podTemplate,
  controllerRevision,
  daemonSet,
  replicaSet,
  podDisruptionBudget,
  lease,
  endpointSlice,
  role,
  roleBinding,
  clusterRole,
  clusterRoleBinding,
  networkPolicy,
  ingress,
  ingressClass,
  ipAddress,
  serviceCIDR,
  certificateSigningRequest,
  clusterTrustBundle,
  flowSchema,
  priorityLevelConfiguration,
  persistentVolume,
  persistentVolumeClaim,
  storageClass,
  csiDriver,
  csiNode,
  csiStorageCapacity,
  volumeAttachment,
  volumeAttributesClass,
  runtimeClass,
  validatingWebhookConfiguration,
  mutatingWebhookConfiguration,
  validatingAdmissionPolicy,
  validatingAdmissionPolicyBinding,
  mutatingAdmissionPolicy,
  mutatingAdmissionPolicyBinding,
  apiService,
  customResourceDefinition,
  deviceClass,
  resourceClaim,
  resourceClaimTemplate,
  resourceSlice,
]
