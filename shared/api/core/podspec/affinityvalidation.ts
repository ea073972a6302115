/** Rules of node and pod affinity. */
import { forbidden, invalid, required, type FieldError, type Path } from '../../../machinery/field.ts'
import { isDNS1123Label, isDNS1123Subdomain, isLabelValue } from '../../../machinery/names.ts'
import { type LabelSelector, validateLabelSelector } from '../../meta/labelselector.ts'
import type { Affinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm } from './affinity.ts'
import { qualifiedName } from './formats.ts'

export function validateAffinity(affinity: Affinity | undefined, path: Path): FieldError[] {
  const errors: FieldError[] = []
  const node = affinity?.nodeAffinity
  if (node) {
    const at = path.child('nodeAffinity')
    if (node.requiredDuringSchedulingIgnoredDuringExecution)
      errors.push(
        ...validateNodeSelector(
          node.requiredDuringSchedulingIgnoredDuringExecution,
          at.child('requiredDuringSchedulingIgnoredDuringExecution'),
        ),
      )
    ;(node.preferredDuringSchedulingIgnoredDuringExecution ?? []).forEach((term, i) => {
      const here = at.child('preferredDuringSchedulingIgnoredDuringExecution').index(i)
      errors.push(...weight(term.weight, here), ...validateTerm(term.preference, here.child('preference'), true))
    })
  }
  for (const kind of ['podAffinity', 'podAntiAffinity'] as const) {
    const at = path.child(kind)
    ;(affinity?.[kind]?.requiredDuringSchedulingIgnoredDuringExecution ?? []).forEach((term, i) =>
      errors.push(...validatePodTerm(term, at.child('requiredDuringSchedulingIgnoredDuringExecution').index(i))),
    )
    ;(affinity?.[kind]?.preferredDuringSchedulingIgnoredDuringExecution ?? []).forEach((term, i) => {
      const here = at.child('preferredDuringSchedulingIgnoredDuringExecution').index(i)
      errors.push(...weight(term.weight, here), ...validatePodTerm(term.podAffinityTerm, here.child('podAffinityTerm')))
    })
  }
  return errors
}

const weight = (value: number | undefined, at: Path): FieldError[] =>
  (value ?? 0) <= 0 || (value ?? 0) > 100 ? [invalid(at.child('weight'), value ?? 0, 'must be in the range 1-100')] : []

/** Terms of which one must match; also of persistent volumes. */
export function validateNodeSelector(selector: NodeSelector, path: Path): FieldError[] {
  const terms = selector.nodeSelectorTerms ?? []
  const at = path.child('nodeSelectorTerms')
  return terms.length === 0
    ? [required(at, 'must have at least one node selector term')]
    : terms.flatMap((term, i) => validateTerm(term, at.index(i), false))
}

/** Preferences may hold label values that no node can have; they just never match. */
function validateTerm(term: NodeSelectorTerm | undefined, at: Path, anyValue: boolean): FieldError[] {
  return [
    ...(term?.matchExpressions ?? []).flatMap((r, i) => validateLabelRequirement(r, at.child('matchExpressions').index(i), anyValue)),
    ...(term?.matchFields ?? []).flatMap((r, i) => validateFieldRequirement(r, at.child('matchFields').index(i))),
  ]
}

function validateLabelRequirement(r: NodeSelectorRequirement, at: Path, anyValue: boolean): FieldError[] {
  const errors: FieldError[] = []
  const values = r.values ?? []
  if (r.operator === 'In' || r.operator === 'NotIn') {
    if (values.length === 0) errors.push(required(at.child('values'), "must be specified when `operator` is 'In' or 'NotIn'"))
  } else if (r.operator === 'Exists' || r.operator === 'DoesNotExist') {
    if (values.length > 0) errors.push(forbidden(at.child('values'), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
  } else if (r.operator === 'Gt' || r.operator === 'Lt') {
    if (values.length !== 1) errors.push(required(at.child('values'), "must be specified single value when `operator` is 'Lt' or 'Gt'"))
  } else errors.push(invalid(at.child('operator'), r.operator ?? '', 'not a valid selector operator'))
  errors.push(...qualifiedName(r.key ?? '', at.child('key')))
  if (!anyValue) values.forEach((v, i) => errors.push(...isLabelValue(v).map(m => invalid(at.child('values').index(i), v, m))))
  return errors
}

function validateFieldRequirement(r: NodeSelectorRequirement, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const values = r.values ?? []
  if (r.operator !== 'In' && r.operator !== 'NotIn')
    errors.push(invalid(at.child('operator'), r.operator ?? '', 'not a valid selector operator'))
  else if (values.length !== 1)
    errors.push(required(at.child('values'), "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"))
  if (r.key !== 'metadata.name') errors.push(invalid(at.child('key'), r.key ?? '', 'not a valid field selector key'))
  else values.forEach((v, i) => errors.push(...isDNS1123Subdomain(v).map(m => invalid(at.child('values').index(i), v, m))))
  return errors
}

function validatePodTerm(term: PodAffinityTerm, at: Path): FieldError[] {
  const errors: FieldError[] = []
  for (const selector of ['labelSelector', 'namespaceSelector'] as const)
    errors.push(...validateLabelSelector(term?.[selector], {}, at.child(selector)))
  for (const ns of term?.namespaces ?? []) errors.push(...isDNS1123Label(ns).map(m => invalid(at.child('namespace'), ns, m)))
  errors.push(...validateLabelKeys(term ?? {}, at))
  const key = term?.topologyKey ?? ''
  if (!key) errors.push(required(at.child('topologyKey'), 'can not be empty'))
  return [...errors, ...qualifiedName(key, at.child('topologyKey'))]
}

/** matchLabelKeys and mismatchLabelKeys, which the server merges into the label selector. */
function validateLabelKeys(
  term: { matchLabelKeys?: string[] | undefined; mismatchLabelKeys?: string[] | undefined; labelSelector?: LabelSelector | undefined },
  at: Path,
): FieldError[] {
  const errors: FieldError[] = []
  const selector = term.labelSelector
  for (const field of ['matchLabelKeys', 'mismatchLabelKeys'] as const) {
    const keys = term[field] ?? []
    if (keys.length === 0) continue
    if (!selector) errors.push(forbidden(at.child(field), 'must not be specified when labelSelector is not set'))
    else keys.forEach((key, i) => errors.push(...qualifiedName(key, at.child(field).index(i))))
  }
  const match = term.matchLabelKeys ?? []
  const known = new Set(Object.keys(selector?.matchLabels ?? {}))
  for (const { key } of selector?.matchExpressions ?? []) {
    // The selector holds the merged expression of each key once; a second one is the user's.
    if (match.includes(key) && known.has(key))
      errors.push(invalid(at.index(match.lastIndexOf(key)), key, 'exists in both matchLabelKeys and labelSelector'))
    known.add(key)
  }
  match.forEach((key, i) => {
    if (term.mismatchLabelKeys?.includes(key))
      errors.push(invalid(at.child('matchLabelKeys').index(i), key, 'exists in both matchLabelKeys and mismatchLabelKeys'))
  })
  return errors
}
