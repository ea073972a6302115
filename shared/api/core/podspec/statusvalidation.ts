/** Rules of a change of a pod's status. */
import { duplicate, forbidden, invalid, type FieldError, type Path } from '../../../machinery/field.ts'
import { ipFamily, validateIP } from '../../../machinery/ip.ts'
import { isDNS1123Subdomain } from '../../../machinery/names.ts'
import type { Pod } from '../pod.ts'
import type { ContainerStatus } from './containerstatus.ts'
import { dns1123Subdomain, qualifiedName } from './formats.ts'

const systemConditions = ['PodScheduled', 'Ready', 'Initialized']

export function validateStatusUpdate(pod: Pod, old: Pod, root: Path): FieldError[] {
  const status = pod.status ?? {}
  const before = old.status ?? {}
  const path = root.child('status')
  const errors: FieldError[] = []
  ;(status.conditions ?? []).forEach((c, i) => {
    // Upstream reports these below metadata.
    if (!systemConditions.includes(c.type))
      errors.push(...qualifiedName(c.type ?? '', root.child('metadata', 'conditions').index(i).child('Type')))
  })
  if ((pod.spec.nodeName ?? '') !== (old.spec.nodeName ?? '')) errors.push(forbidden(path.child('nodeName'), 'may not be changed directly'))
  const nominated = status.nominatedNodeName
  if (nominated && nominated !== before.nominatedNodeName)
    errors.push(...isDNS1123Subdomain(nominated).map(m => invalid(path.child('nominatedNodeName'), nominated, m)))
  if ((status.qosClass ?? '') !== (before.qosClass ?? ''))
    errors.push(invalid(path.child('qosClass'), status.qosClass ?? '', 'field is immutable'))
  const policy = old.spec.restartPolicy
  const sidecars = new Set((old.spec.initContainers ?? []).filter(c => c.restartPolicy === 'Always').map(c => c.name))
  const all = [...old.spec.containers, ...(old.spec.initContainers ?? [])]
  const own = new Set(all.filter(c => c.restartPolicy !== undefined || c.restartPolicyRules?.length).map(c => c.name))
  errors.push(
    ...noResurrection(status.containerStatuses, before.containerStatuses, policy, own, path.child('containerStatuses')),
    ...noResurrection(
      status.initContainerStatuses,
      before.initContainerStatuses,
      policy,
      new Set([...sidecars, ...own]),
      path.child('initContainerStatuses'),
    ),
    ...noResurrection(
      status.ephemeralContainerStatuses,
      before.ephemeralContainerStatuses,
      'Never',
      new Set(),
      path.child('ephemeralContainerStatuses'),
    ),
    ...validateClaimStatuses(pod, path.child('resourceClaimStatuses')),
    ...validateIPs(status.podIPs, path.child('podIPs')),
    ...validateHostIPs(pod, path.child('hostIPs')),
  )
  return errors
}

/** Containers that must not be restarted stay terminated. `exempt` are those that may, whatever the pod's policy says. */
function noResurrection(
  statuses: readonly ContainerStatus[] | undefined,
  before: readonly ContainerStatus[] | undefined,
  policy: string | undefined,
  exempt: ReadonlySet<string>,
  at: Path,
): FieldError[] {
  if (policy === 'Always') return []
  return (before ?? []).flatMap((old, i) => {
    const ended = old.state?.terminated
    if (!ended || exempt.has(old.name) || ((ended.exitCode ?? 0) !== 0 && policy === 'OnFailure')) return []
    const back = (statuses ?? []).some(s => s.name === old.name && !s.state?.terminated)
    return back ? [forbidden(at.index(i).child('state'), 'may not be transitioned to non-terminated state')] : []
  })
}

function validateClaimStatuses(pod: Pod, at: Path): FieldError[] {
  const seen = new Set<string>()
  return (pod.status?.resourceClaimStatuses ?? []).flatMap((s, i) => {
    const errors: FieldError[] = []
    const name = at.index(i).child('name')
    if (!pod.spec.resourceClaims?.some(c => c.name === s.name))
      errors.push(invalid(name, s.name, 'must match the name of an entry in `spec.resourceClaims`'))
    if (seen.has(s.name)) errors.push(duplicate(name, s.name))
    seen.add(s.name)
    return s.resourceClaimName === undefined ? errors : [...errors, ...dns1123Subdomain(s.resourceClaimName, name)]
  })
}

/** At most one address of each family. */
function validateIPs(ips: readonly { ip: string }[] | undefined, at: Path): FieldError[] {
  const list = ips ?? []
  const errors = list.flatMap((p, i) => validateIP(at.index(i), p.ip ?? ''))
  if (list.length < 2) return errors
  const families = new Set(list.map(p => ipFamily(p.ip ?? '')))
  if (families.size < 2 || list.length > 2) errors.push(invalid(at, list, 'may specify no more than one IP for each IP family'))
  const seen = new Set<string>()
  list.forEach((p, i) => {
    if (seen.has(p.ip)) errors.push(duplicate(at.index(i), p))
    seen.add(p.ip)
  })
  return errors
}

function validateHostIPs(pod: Pod, at: Path): FieldError[] {
  const ips = pod.status?.hostIPs ?? []
  const first = ips[0]
  if (!first) return []
  const errors = (pod.status?.hostIP ?? '') === first.ip ? [] : [invalid(at.index(0).child('ip'), first.ip, 'must be equal to `hostIP`')]
  return [...errors, ...validateIPs(ips, at)]
}
