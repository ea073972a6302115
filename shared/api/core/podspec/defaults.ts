/** Defaults of pod specs that depend on other fields; the others stand in the schema. (pkg/apis/core/v1/defaults.go) */
import {
  compareQuantity,
  formatQuantity,
  isIntegerQuantity,
  milliQuantityOf,
  multiplyQuantity,
  parseQuantity,
  quantityMilliValue,
} from '../../../machinery/quantity.ts'
import type { Container } from './container.ts'
import { parseImageName } from './imagename.ts'
import type { PodSpec } from './podspec.ts'
import { aggregateContainers, isPodLevelResource, type ResourceList } from './resources.ts'
import type { Volume } from './volume.ts'

/** Always for `latest`, which moves; IfNotPresent for other tags and digests. */
const pullPolicyOf = (image: string | undefined): string => (parseImageName(image ?? '')?.tag === 'latest' ? 'Always' : 'IfNotPresent')

/** Amounts finer than thousandths are rounded up. */
function roundUp(list: ResourceList | undefined): void {
  for (const [name, text] of Object.entries(list ?? {})) {
    if (isIntegerQuantity(multiplyQuantity(text, 1000))) continue
    ;(list as ResourceList)[name] = formatQuantity(milliQuantityOf(quantityMilliValue(text), parseQuantity(text).format))
  }
}

function defaultContainer(c: Omit<Container, 'restartPolicyRules'>): void {
  c.imagePullPolicy ||= pullPolicyOf(c.image)
  c.terminationMessagePath ||= '/dev/termination-log'
  c.terminationMessagePolicy ||= 'File'
  roundUp(c.resources?.limits)
  roundUp(c.resources?.requests)
  // An optional string by pointer: its empty default must be written, which static defaults leave out.
  for (const probe of [c.livenessProbe, c.readinessProbe, c.startupProbe]) if (probe?.grpc) probe.grpc.service ??= ''
  for (const v of c.env ?? []) if (v.valueFrom?.fileKeyRef) v.valueFrom.fileKeyRef.optional ??= false
}

function defaultVolume(v: Volume): void {
  if (Object.entries(v).every(([name, source]) => name === 'name' || source === undefined)) v.emptyDir = {}
  if (v.hostPath) v.hostPath.type ??= ''
  if (v.azureDisk) v.azureDisk.readOnly ??= false
  if (v.image) v.image.pullPolicy ||= pullPolicyOf(v.image.reference)
}

/** Sets the defaults that every pod spec has, also in a template. Mutates. */
export function defaultPodSpec(spec: PodSpec): void {
  for (const c of spec.containers ?? []) defaultContainer(c)
  for (const c of spec.initContainers ?? []) defaultContainer(c)
  for (const c of spec.ephemeralContainers ?? []) defaultContainer(c)
  for (const v of spec.volumes ?? []) defaultVolume(v)
  roundUp(spec.overhead)
  roundUp(spec.resources?.limits)
  roundUp(spec.resources?.requests)
  mirrorServiceAccount(spec)
}

/** `serviceAccount` is the old name of `serviceAccountName` and always shows the same. Mutates. */
export function mirrorServiceAccount(spec: PodSpec): void {
  const name = spec.serviceAccountName || spec.serviceAccount
  if (!name) return
  spec.serviceAccountName = name
  spec.serviceAccount = name
}

/** Sets the defaults that only pods have and templates keep open. Mutates. */
export function defaultPodOnly(spec: PodSpec): void {
  const containers = [...(spec.containers ?? []), ...(spec.initContainers ?? [])]
  for (const c of containers) {
    if (!c.resources?.limits || Object.keys(c.resources.limits).length === 0) continue
    c.resources.requests = { ...c.resources.limits, ...c.resources.requests }
  }
  defaultPodResources(spec)
  spec.enableServiceLinks ??= true
  // Templates keep what they say: what is made of them is a pod.
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0) spec.terminationGracePeriodSeconds = 1
  if (spec.hostNetwork) for (const c of containers) for (const port of c.ports ?? []) port.hostPort ||= port.containerPort
}

/** Pod-level requests and limits that are set in part are completed from the containers (KEP-2837). */
function defaultPodResources(spec: PodSpec): void {
  const resources = spec.resources
  if (!resources) return
  const all = [...(spec.containers ?? []), ...(spec.initContainers ?? [])]
  const requests = { ...resources.requests }
  if (Object.keys(resources.limits ?? {}).length > 0) {
    for (const [name, quantity] of Object.entries(aggregateContainers(spec, 'requests')))
      if (isPodLevelResource(name) && !name.startsWith('hugepages-')) requests[name] ??= quantity
    for (const [name, quantity] of Object.entries(resources.limits ?? {})) if (isPodLevelResource(name)) requests[name] ??= quantity
  }
  if (Object.keys(requests).length === 0) return
  resources.requests = requests
  // A limit that all containers have adds up to the pod's.
  const sums = aggregateContainers(spec, 'limits')
  for (const name of ['cpu', 'memory']) {
    const sum = sums[name]
    if (resources.limits?.[name] !== undefined || sum === undefined || compareQuantity(sum, '0') === 0) continue
    if (all.every(c => c.resources?.limits?.[name] !== undefined)) resources.limits = { ...resources.limits, [name]: sum }
  }
}
