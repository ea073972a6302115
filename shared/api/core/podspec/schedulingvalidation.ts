/** Rules of tolerations, topology spread, gates, claims, and of name resolution. */
import { duplicate, forbidden, invalid, notSupported, required, type FieldError, type Path } from '../../../machinery/field.ts'
import { validateIP } from '../../../machinery/ip.ts'
import { isDNS1123SubdomainWithUnderscore, isLabelValue } from '../../../machinery/names.ts'
import { validateLabelSelector } from '../../meta/labelselector.ts'
import type { HostAlias, PodDNSConfig } from './dns.ts'
import { dns1123Label, dns1123Subdomain, qualifiedName } from './formats.ts'
import type {
  PodReadinessGate,
  PodResourceClaim,
  PodSchedulingGate,
  Toleration,
  TopologySpreadConstraint,
  WorkloadReference,
} from './scheduling.ts'

const effects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute']

export function validateTolerations(tolerations: readonly Toleration[] | undefined, path: Path): FieldError[] {
  return (tolerations ?? []).flatMap((t, i) => {
    const at = path.index(i)
    const operator = t.operator ?? ''
    const value = t.value ?? ''
    const errors = t.key ? qualifiedName(t.key, at.child('key')) : []
    if (!t.key && operator !== 'Exists')
      errors.push(
        invalid(at.child('operator'), operator, 'operator must be Exists when `key` is empty, which means "match all values and all keys"'),
      )
    if (t.tolerationSeconds !== undefined && t.effect !== 'NoExecute')
      errors.push(invalid(at.child('effect'), t.effect ?? '', "effect must be 'NoExecute' when `tolerationSeconds` is set"))
    if (operator === '' || operator === 'Equal') {
      const wrong = isLabelValue(value)
      if (wrong.length > 0) errors.push(invalid(at.child('operator'), value, wrong.join(';')))
    } else if (operator === 'Exists') {
      if (value) errors.push(invalid(at.child('operator'), value, "value must be empty when `operator` is 'Exists'"))
    } else errors.push(notSupported(at.child('operator'), operator, ['Equal', 'Exists']))
    if (t.effect && !effects.includes(t.effect)) errors.push(notSupported(at.child('effect'), t.effect, effects))
    return errors
  })
}

const actions = ['DoNotSchedule', 'ScheduleAnyway']
const inclusions = ['Honor', 'Ignore']

/** In a pod the label keys have been merged into the selector already, so that it names each of them once (`merged`). */
export function validateTopologySpread(
  constraints: readonly TopologySpreadConstraint[] | undefined,
  path: Path,
  merged: boolean,
): FieldError[] {
  return (constraints ?? []).flatMap((c, i, all) => {
    const at = path.index(i)
    const errors: FieldError[] = []
    const action = c.whenUnsatisfiable ?? ''
    if ((c.maxSkew ?? 0) <= 0) errors.push(invalid(at.child('maxSkew'), c.maxSkew ?? 0, 'must be greater than zero'))
    if (!c.topologyKey) errors.push(required(at.child('topologyKey'), 'can not be empty'))
    if (!actions.includes(action)) errors.push(notSupported(at.child('whenUnsatisfiable'), action, actions))
    if (all.slice(i + 1).some(o => (o.topologyKey ?? '') === (c.topologyKey ?? '') && (o.whenUnsatisfiable ?? '') === action))
      errors.push(duplicate(at.child('{topologyKey, whenUnsatisfiable}'), `{${c.topologyKey ?? ''}, ${action}}`))
    if (c.minDomains !== undefined) {
      if (c.minDomains <= 0) errors.push(invalid(at.child('minDomains'), c.minDomains, 'must be greater than zero'))
      if (action !== 'DoNotSchedule')
        errors.push(
          invalid(at.child('minDomains'), c.minDomains, `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${action}`),
        )
    }
    for (const name of ['nodeAffinityPolicy', 'nodeTaintsPolicy'] as const)
      if (c[name] !== undefined && !inclusions.includes(c[name])) errors.push(notSupported(at.child(name), c[name], inclusions))
    if (c.matchLabelKeys?.length) {
      const keysAt = at.child('matchLabelKeys')
      const used = [...Object.keys(c.labelSelector?.matchLabels ?? {}), ...(c.labelSelector?.matchExpressions ?? []).map(e => e.key)]
      if (!c.labelSelector) errors.push(forbidden(keysAt, 'must not be specified when labelSelector is not set'))
      c.matchLabelKeys.forEach((key, j) => {
        errors.push(...qualifiedName(key, keysAt.index(j)))
        if (used.filter(k => k === key).length > (merged ? 1 : 0))
          errors.push(invalid(keysAt.index(j), key, 'exists in both matchLabelKeys and labelSelector'))
      })
    }
    return [...errors, ...validateLabelSelector(c.labelSelector, {}, at.child('labelSelector'))]
  })
}

export const validateReadinessGates = (gates: readonly PodReadinessGate[] | undefined, path: Path): FieldError[] =>
  (gates ?? []).flatMap((g, i) => qualifiedName(g.conditionType ?? '', path.index(i).child('conditionType')))

export function validateSchedulingGates(gates: readonly PodSchedulingGate[] | undefined, path: Path): FieldError[] {
  const seen = new Set<string>()
  return (gates ?? []).flatMap((g, i) => {
    const errors = qualifiedName(g.name ?? '', path.index(i))
    if (seen.has(g.name)) errors.push(duplicate(path.index(i), g.name))
    seen.add(g.name)
    return errors
  })
}

export function validateResourceClaims(claims: readonly PodResourceClaim[] | undefined, path: Path): FieldError[] {
  const seen = new Set<string>()
  return (claims ?? []).flatMap((c, i) => {
    const at = path.index(i)
    const errors: FieldError[] = []
    if (!c.name) errors.push(required(at.child('name')))
    else if (seen.has(c.name)) errors.push(duplicate(at.child('name'), c.name))
    else errors.push(...dns1123Label(c.name, at.child('name')))
    seen.add(c.name)
    if (c.resourceClaimName !== undefined && c.resourceClaimTemplateName !== undefined)
      errors.push(invalid(at, c, 'at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified'))
    if (c.resourceClaimName === undefined && c.resourceClaimTemplateName === undefined)
      errors.push(invalid(at, c, 'must specify one of: `resourceClaimName`, `resourceClaimTemplateName`'))
    for (const name of ['resourceClaimName', 'resourceClaimTemplateName'] as const)
      if (c[name] !== undefined) errors.push(...dns1123Subdomain(c[name], at.child(name)))
    return errors
  })
}

export function validateWorkloadRef(ref: WorkloadReference | undefined, at: Path): FieldError[] {
  if (!ref) return []
  return [
    ...(ref.name ? dns1123Subdomain(ref.name, at.child('name')) : [required(at.child('name'))]),
    ...(ref.podGroup ? dns1123Label(ref.podGroup, at.child('podGroup')) : [required(at.child('podGroup'))]),
    ...(ref.podGroupReplicaKey ? dns1123Label(ref.podGroupReplicaKey, at.child('podGroupReplicaKey')) : []),
  ]
}

const maxNameservers = 3
const maxSearches = 32
const maxSearchCharacters = 2048

export function validateDNSConfig(config: PodDNSConfig | undefined, policy: string | undefined, path: Path): FieldError[] {
  if (policy === 'None') {
    if (!config) return [required(path, 'must provide `dnsConfig` when `dnsPolicy` is None')]
    if (!config.nameservers?.length)
      return [required(path.child('nameservers'), 'must provide at least one DNS nameserver when `dnsPolicy` is None')]
  }
  if (!config) return []
  const errors: FieldError[] = []
  const nameservers = config.nameservers ?? []
  const searches = config.searches ?? []
  if (nameservers.length > maxNameservers)
    errors.push(invalid(path.child('nameservers'), nameservers, `must not have more than ${maxNameservers} nameservers`))
  nameservers.forEach((ip, i) => errors.push(...validateIP(path.child('nameservers').index(i), ip)))
  if (searches.length > maxSearches)
    errors.push(invalid(path.child('searches'), searches, `must not have more than ${maxSearches} search paths`))
  if (searches.join(' ').length > maxSearchCharacters)
    errors.push(
      invalid(
        path.child('searches'),
        searches,
        `must not have more than ${maxSearchCharacters} characters (including spaces) in the search list`,
      ),
    )
  searches.forEach((search, i) => {
    const name = search.replace(/\.$/, '')
    if (search !== '.') errors.push(...isDNS1123SubdomainWithUnderscore(name).map(m => invalid(path.child('searches').index(i), name, m)))
  })
  ;(config.options ?? []).forEach((o, i) => {
    if (!o.name) errors.push(required(path.child('options').index(i), 'must not be empty'))
  })
  return errors
}

export const validateHostAliases = (aliases: readonly HostAlias[] | undefined, path: Path): FieldError[] =>
  (aliases ?? []).flatMap((a, i) => [
    ...validateIP(path.index(i).child('ip'), a.ip ?? ''),
    ...(a.hostnames ?? []).flatMap((h, j) => dns1123Subdomain(h, path.index(i).child('hostnames').index(j))),
  ])
