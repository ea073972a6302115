/** core/v1 Pod: containers that run together on one node. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { clone } from '../../machinery/jsonvalue.ts'
import { forbidden, Path, type FieldError } from '../../machinery/field.ts'
import { obj, opt, type Infer } from '../../machinery/schema.ts'
import { pods } from '../kinds.ts'
import type { LabelSelector } from '../meta/labelselector.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource, type WriteContext } from '../resource.ts'
import { honourAppArmorAnnotations } from './podspec/apparmorannotations.ts'
import { validatePodAnnotations } from './podspec/annotationvalidation.ts'
import { podColumns } from './podspec/columns.ts'
import type { Container } from './podspec/container.ts'
import { validateImageName } from './podspec/containervalidation.ts'
import { defaultPodOnly, defaultPodSpec, mirrorServiceAccount } from './podspec/defaults.ts'
import { podSpec } from './podspec/podspec.ts'
import { podStatus, type PodStatus } from './podspec/podstatus.ts'
import { podQOS } from './podspec/qos.ts'
import { warningsForName, warningsForPod } from './podspec/warnings.ts'
import { validatePodUpdate } from './podspec/updatevalidation.ts'
import { validatePodSpec } from './podspec/validation.ts'

export const podSchema = obj(
  'io.k8s.api.core.v1.Pod',
  'Containers that run together on one node and share its network address and volumes.',
  () => ({
    ...typeMeta(),
    metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
    spec: opt(2, podSpec, { doc: 'What the pod should run, where and how.', default: {} }),
    status: opt(3, podStatus, { doc: 'What is known about it; written by the system.', default: {} }),
  }),
)
export type Pod = Stored<Infer<typeof podSchema>>

/** A pod's status has been final since it got there. */
export const isPodFinished = (pod: Pick<Pod, 'status'>): boolean => pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'

function defaults(p: Pod): void {
  defaultPodSpec(p.spec)
  defaultPodOnly(p.spec)
  if (p.status) syncPodIPs(p.status)
}

/** `podIP` is the first of `podIPs`; where they differ the sender knows only the older field. */
function syncPodIPs(status: PodStatus): void {
  if (status.podIP && status.podIPs?.[0]?.ip !== status.podIP) status.podIPs = [{ ip: status.podIP }]
  const first = status.podIPs?.[0]?.ip
  if (first) status.podIP = first
}

/** Adds the pod's own values of the named labels to a selector, so that it selects pods of the same revision (or of others). */
function mergeLabelKeys(
  selector: LabelSelector | undefined,
  keys: readonly string[] | undefined,
  operator: 'In' | 'NotIn',
  labels: { [key: string]: string } | undefined,
): void {
  if (!selector) return
  for (const key of keys ?? []) {
    const value = labels?.[key]
    if (value !== undefined) selector.matchExpressions = [...(selector.matchExpressions ?? []), { key, operator, values: [value] }]
  }
}

function mergeSelectors(p: Pod): void {
  for (const kind of ['podAffinity', 'podAntiAffinity'] as const) {
    const affinity = p.spec.affinity?.[kind]
    const preferred = (affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(t => t.podAffinityTerm)
    for (const term of [...preferred, ...(affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [])]) {
      mergeLabelKeys(term?.labelSelector, term?.matchLabelKeys, 'In', p.metadata.labels)
      mergeLabelKeys(term?.labelSelector, term?.mismatchLabelKeys, 'NotIn', p.metadata.labels)
    }
  }
  for (const c of p.spec.topologySpreadConstraints ?? []) mergeLabelKeys(c.labelSelector, c.matchLabelKeys, 'In', p.metadata.labels)
}

function prepareForCreate(p: Pod, ctx: WriteContext): void {
  mirrorServiceAccount(p.spec)
  p.status = { phase: 'Pending', qosClass: podQOS(p.spec) }
  if (p.spec.schedulingGates?.length)
    p.status.conditions = [
      {
        type: 'PodScheduled',
        status: 'False',
        reason: 'SchedulingGated',
        message: 'Scheduling is blocked due to non-empty scheduling gates',
      },
    ]
  mergeSelectors(p)
  ctx.warnings?.push(...honourAppArmorAnnotations(p))
}

function prepareForUpdate(p: Pod, old: Pod, ctx: WriteContext): void {
  switch (ctx.subresource) {
    case 'status':
      return prepareStatus(p, old)
    case 'ephemeralcontainers': {
      const ephemeral = p.spec.ephemeralContainers
      p.spec = { ...clone(old.spec), ...(ephemeral ? { ephemeralContainers: ephemeral } : {}) }
      if (!ephemeral) delete p.spec.ephemeralContainers
      return keepStatus(p, old)
    }
    case 'resize':
      return prepareResize(p, old)
    default:
      mirrorServiceAccount(p.spec)
  }
}

function keepStatus(p: Pod, old: Pod): void {
  if (old.status) p.status = clone(old.status)
}

/** Old kubelets drop what they do not know: quality of service, owners and observed generations are kept. */
function prepareStatus(p: Pod, old: Pod): void {
  p.status ??= {}
  if (old.metadata.ownerReferences) p.metadata.ownerReferences = clone(old.metadata.ownerReferences)
  else delete p.metadata.ownerReferences
  if (!p.status.qosClass && old.status?.qosClass) p.status.qosClass = old.status.qosClass
  if (!p.status.observedGeneration && old.status?.observedGeneration) p.status.observedGeneration = old.status.observedGeneration
  for (const c of p.status.conditions ?? []) {
    const observed = old.status?.conditions?.find(o => o.type === c.type)?.observedGeneration
    if (!c.observedGeneration && observed) c.observedGeneration = observed
  }
}

/** Of what was sent only resources and resize policies count. Other containers than before are left for validation to refuse. */
function prepareResize(p: Pod, old: Pod): void {
  const spec = clone(old.spec)
  for (const list of ['containers', 'initContainers'] as const) {
    const now = p.spec[list] ?? []
    const before = spec[list] ?? []
    if (now.length !== before.length || now.some((c, i) => c.name !== before[i]?.name)) return
    now.forEach((c, i) => copyResources(c, before[i] as Container))
  }
  p.spec = spec
  keepStatus(p, old)
}
function copyResources(from: Container, to: Container): void {
  for (const name of ['resources', 'resizePolicy'] as const) {
    delete to[name]
    Object.assign(to, from[name] === undefined ? {} : { [name]: from[name] })
  }
}

function validate(p: Pod, at: Path): FieldError[] {
  const spec = at.child('spec')
  const errors = validatePodAnnotations(p.metadata, p.spec, at.child('metadata', 'annotations'), spec)
  errors.push(...validatePodSpec(p.spec, p.metadata, spec, true))
  if (!p.spec.serviceAccountName)
    (p.spec.volumes ?? []).forEach((v, i) =>
      (v.projected?.sources ?? []).forEach((s, j) => {
        const token = spec.child('volumes').index(i).child('projected', 'sources').index(j).child('serviceAccountToken')
        if (s.serviceAccountToken) errors.push(forbidden(token, 'must not be specified when serviceAccountName is not set'))
      }),
    )
  for (const list of ['containers', 'initContainers'] as const)
    (p.spec[list] ?? []).forEach((c, i) => errors.push(...validateImageName(c, spec.child(list).index(i))))
  // Only what is being created has no version yet.
  if (p.metadata.resourceVersion) return errors
  if (p.spec.ephemeralContainers?.length) errors.push(forbidden(spec.child('ephemeralContainers'), 'cannot be set on create'))
  if (p.spec.nodeName && p.spec.schedulingGates?.length)
    errors.push(forbidden(spec.child('nodeName'), 'cannot be set until all schedulingGates have been cleared'))
  return errors
}

/** Pods that never reached a node, or have ended, go at once; a negative period, which older versions let in, means one second. */
function grace(p: Pod, asked: number | undefined): number {
  if (!p.spec?.nodeName || isPodFinished(p)) return 0
  const seconds = asked ?? p.spec.terminationGracePeriodSeconds ?? 0
  return seconds < 0 ? 1 : seconds
}

const getUpdatePatch = ['get', 'patch', 'update'] as const
const proxyVerbs = ['connect'] as const

export const pod = resource<Pod>({
  ...pods,
  schema: podSchema,
  singular: 'pod',
  shortNames: ['po'],
  categories: ['all'],
  columns: podColumns,
  fields: {
    'spec.nodeName': p => p.spec.nodeName ?? '',
    'spec.restartPolicy': p => p.spec.restartPolicy ?? '',
    'spec.schedulerName': p => p.spec.schedulerName ?? '',
    'spec.serviceAccountName': p => p.spec.serviceAccountName ?? '',
    'spec.hostNetwork': p => String(p.spec.hostNetwork ?? false),
    'status.phase': p => p.status?.phase ?? '',
    'status.podIP': p => p.status?.podIPs?.[0]?.ip ?? p.status?.podIP ?? '',
    'status.podIPs': p => (p.status?.podIPs ?? []).map(i => i.ip).join(','),
    'status.nominatedNodeName': p => p.status?.nominatedNodeName ?? '',
  },
  indexed: ['spec.nodeName'],
  subresources: {
    status: { verbs: getUpdatePatch },
    ephemeralcontainers: { verbs: getUpdatePatch },
    resize: { verbs: getUpdatePatch },
    binding: { kind: 'Binding', verbs: ['create'] },
    eviction: { kind: 'Eviction', group: 'policy', version: 'v1', verbs: ['create'] },
    log: { verbs: ['get'] },
    exec: { kind: 'PodExecOptions', verbs: proxyVerbs },
    attach: { kind: 'PodAttachOptions', verbs: proxyVerbs },
    portforward: { kind: 'PodPortForwardOptions', verbs: proxyVerbs },
    proxy: { kind: 'PodProxyOptions', verbs: proxyVerbs },
  },
  hasStatus: true,
  hasGeneration: true,
  statusResetFields: [['f:spec'], ['f:metadata', 'f:deletionTimestamp'], ['f:metadata', 'f:ownerReferences']],
  deletion: { grace, answersWithObject: true },
  defaults,
  prepareForCreate,
  prepareForUpdate,
  validate,
  // Those who update pods are no people.
  warnings: (p, old) =>
    old ? [] : [...warningsForPod(p.spec, p.metadata, new Path()), ...warningsForName(p.metadata.name, "the Pod's hostname")],
  validateUpdate: (p, old, at, ctx) => validatePodUpdate(p, old, at, ctx.subresource),
})
