/** Rules of a pod spec as a whole, with upstream's order, paths and words (pkg/apis/core/validation). */
import { forbidden, invalid, notSupported, required, type FieldError, type Path } from '../../../machinery/field.ts'
import { isDNS1123Subdomain, rangeError } from '../../../machinery/names.ts'
import { compareQuantity } from '../../../machinery/quantity.ts'
import type { ObjectMeta } from '../../meta/objectmeta.ts'
import { validateLabels } from '../../meta/validation.ts'
import { validateAffinity } from './affinityvalidation.ts'
import { type ContainerContext, validateContainers, validateEphemeralContainers, validateInitContainers } from './containervalidation.ts'
import { dns1123Label, dns1123Subdomain } from './formats.ts'
import type { PodSpec } from './podspec.ts'
import { aggregateContainers } from './resources.ts'
import { validateResources } from './resourcevalidation.ts'
import {
  validateDNSConfig,
  validateHostAliases,
  validateReadinessGates,
  validateResourceClaims,
  validateSchedulingGates,
  validateTolerations,
  validateTopologySpread,
  validateWorkloadRef,
} from './schedulingvalidation.ts'
import { validateHostProcess, validateHostUsers, validateOS, validatePodSecurityContext } from './securityvalidation.ts'
import { validateVolumes } from './volumevalidation.ts'

const restartPolicies = ['Always', 'OnFailure', 'Never']
const dnsPolicies = ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None']
const preemptionPolicies = ['PreemptLowerPriority', 'Never']

const choice = (value: string | undefined, allowed: readonly string[], at: Path): FieldError[] => {
  if (!value) return [required(at)]
  return allowed.includes(value) ? [] : [notSupported(at, value, allowed)]
}
const names = (value: string | undefined, at: Path): FieldError[] => (value ? dns1123Subdomain(value, at) : [])

/**
 * All broken rules of a pod spec; `meta` is that of its pod or template. Templates keep some things open that a pod must have (`isPod`).
 */
export function validatePodSpec(spec: PodSpec, meta: ObjectMeta, path: Path, isPod = false): FieldError[] {
  const errors: FieldError[] = []
  const grace = spec.terminationGracePeriodSeconds
  if (grace === undefined) errors.push(required(path.child('terminationGracePeriodSeconds')))
  const volumes = validateVolumes(spec.volumes ?? [], { meta, isPod }, path.child('volumes'))
  errors.push(...volumes.errors, ...validateResourceClaims(spec.resourceClaims, path.child('resourceClaims')))
  const ctx: ContainerContext = {
    volumes: volumes.byName,
    claims: new Set((spec.resourceClaims ?? []).map(c => c.name).filter(Boolean)),
    graceSeconds: grace,
    restartPolicy: spec.restartPolicy,
    os: spec.os?.name,
    hostUsers: spec.hostUsers !== false,
  }
  const containers = spec.containers ?? []
  const init = spec.initContainers ?? []
  errors.push(
    ...validateContainers(containers, ctx, path.child('containers')),
    ...validateInitContainers(init, containers, ctx, path.child('initContainers')),
    ...validateEphemeralContainers(spec.ephemeralContainers ?? [], containers, init, ctx, path.child('ephemeralContainers')),
    ...validatePodResources(spec, ctx.claims, path.child('resources')),
    ...validateHostNetworkPorts(spec, isPod, path),
    ...choice(spec.restartPolicy, restartPolicies, path.child('restartPolicy')),
    ...choice(spec.dnsPolicy, dnsPolicies, path.child('dnsPolicy')),
    ...validateLabels(spec.nodeSelector, path.child('nodeSelector')),
    ...validatePodSecurityContext(spec, path.child('securityContext')),
    ...validateAffinity(spec.affinity, path.child('affinity')),
    ...validateDNSConfig(spec.dnsConfig, spec.dnsPolicy, path.child('dnsConfig')),
    ...validateReadinessGates(spec.readinessGates, path.child('readinessGates')),
    ...validateSchedulingGates(spec.schedulingGates, path.child('schedulingGates')),
    ...validateTopologySpread(spec.topologySpreadConstraints, path.child('topologySpreadConstraints'), isPod),
    ...validateHostProcess(spec, path),
    ...validateHostUsers(spec, path),
    ...names(spec.serviceAccountName, path.child('serviceAccountName')),
    ...names(spec.nodeName, path.child('nodeName')),
  )
  const deadline = spec.activeDeadlineSeconds
  if (deadline !== undefined && (deadline < 1 || deadline > 2147483647))
    errors.push(invalid(path.child('activeDeadlineSeconds'), deadline, rangeError(1, 2147483647)))
  if (spec.hostname) errors.push(...dns1123Label(spec.hostname, path.child('hostname')))
  if (spec.subdomain) errors.push(...dns1123Label(spec.subdomain, path.child('subdomain')))
  errors.push(
    ...validateTolerations(spec.tolerations, path.child('tolerations')),
    ...validateHostAliases(spec.hostAliases, path.child('hostAliases')),
    ...names(spec.priorityClassName, path.child('priorityClassName')),
  )
  if (spec.runtimeClassName !== undefined) errors.push(...dns1123Subdomain(spec.runtimeClassName, path.child('runtimeClassName')))
  if (spec.preemptionPolicy !== undefined) errors.push(...choice(spec.preemptionPolicy, preemptionPolicies, path.child('preemptionPolicy')))
  // Overhead is checked like limits, and reported like them.
  if (spec.overhead) errors.push(...validateResources({ limits: spec.overhead }, new Set(), path.child('overhead')))
  return [
    ...errors,
    ...validateOS(spec, path),
    ...validateHostnameOverride(spec, path),
    ...validateWorkloadRef(spec.workloadRef, path.child('workloadRef')),
  ]
}

/** With the host's network a port cannot be another one on the host; a template may leave it open. */
function validateHostNetworkPorts(spec: PodSpec, isPod: boolean, path: Path): FieldError[] {
  if (!spec.hostNetwork) return []
  return (spec.containers ?? []).flatMap((c, i) =>
    (c.ports ?? []).flatMap((port, j) => {
      const hostPort = port.hostPort ?? 0
      if (hostPort === port.containerPort || (!isPod && hostPort === 0)) return []
      return [
        invalid(
          path.child('containers').index(i).child('ports').index(j).child('hostPort'),
          hostPort,
          'must match `containerPort` when `hostNetwork` is true',
        ),
      ]
    }),
  )
}

/** Resources of the pod as a whole: not less than its containers request, not below the limit of one of them. */
function validatePodResources(spec: PodSpec, claims: ReadonlySet<string>, path: Path): FieldError[] {
  const resources = spec.resources
  if (!resources) return []
  const errors: FieldError[] = []
  if (resources.claims) errors.push(forbidden(path.child('claims'), 'claims cannot be set for Resources at pod-level'))
  errors.push(...validateResources(resources, claims, path, true))
  // What a pod cannot have as a whole (devices, ephemeral storage) its containers may have nevertheless.
  for (const kind of ['requests', 'limits'] as const)
    for (const [name, quantity] of Object.entries(aggregateContainers(spec, kind))) {
      const own = resources[kind]?.[name]
      // Limits of containers may be more together than the pod's, but for pages that are theirs.
      if (own === undefined || (kind === 'limits' && !name.startsWith('hugepages-')) || compareQuantity(quantity, own) <= 0) continue
      errors.push(invalid(path.child(kind).key(name), own, `must be greater than or equal to aggregate container ${kind} of ${quantity}`))
    }
  ;(spec.containers ?? []).forEach((c, i) => {
    for (const [name, limit] of Object.entries(c.resources?.limits ?? {})) {
      const own = resources.limits?.[name]
      if (own !== undefined && compareQuantity(limit, own) > 0)
        errors.push(
          invalid(path.child('containers').index(i).key(name).child('limits'), limit, `must be less than or equal to pod limits of ${own}`),
        )
    }
  })
  return errors
}

const maxHostnameLength = 64
function validateHostnameOverride(spec: PodSpec, path: Path): FieldError[] {
  const name = spec.hostnameOverride
  if (name === undefined) return []
  const at = path.child('hostnameOverride')
  const errors = isDNS1123Subdomain(name).map(m => invalid(at, name, m))
  if (name.length > maxHostnameLength) errors.push(invalid(at, name, `must be no more than ${maxHostnameLength} characters`))
  if (spec.hostNetwork) errors.push(forbidden(at, 'may not be specified when `hostNetwork` is true'))
  if (spec.setHostnameAsFQDN) errors.push(forbidden(at, 'may not be specified when `setHostnameAsFQDN` is true'))
  return errors
}
