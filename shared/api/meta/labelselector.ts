/** metav1.LabelSelector: selects objects by their labels. https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/ */
import { forbidden, invalid, required, type FieldError, type Path } from '../../machinery/field.ts'
import { isLabelValue } from '../../machinery/names.ts'
import { list, map, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { validateLabelName, validateLabels } from './validation.ts'

export const labelSelectorRequirement = obj(
  'io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelectorRequirement',
  'One condition on a label: its key, an operator, and values for the operators that take some.',
  () => ({
    key: req(1, str(), { doc: 'The label key.', default: '' }),
    operator: req(2, str(), { doc: 'In, NotIn, Exists or DoesNotExist.', default: '' }),
    values: opt(3, list(str()), { doc: 'What In and NotIn compare with; empty for the other operators.', listType: 'atomic' }),
  }),
)
export type LabelSelectorRequirement = Infer<typeof labelSelectorRequirement>

export const labelSelector = obj(
  'io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector',
  'Selects objects whose labels meet every condition; an empty one selects all, an absent one none.',
  () => ({
    matchLabels: opt(1, map(str()), { doc: 'Labels that must have exactly these values.' }),
    matchExpressions: opt(2, list(labelSelectorRequirement), { doc: 'Further conditions; all must hold.', listType: 'atomic' }),
  }),
  { atomic: true },
)
export type LabelSelector = Infer<typeof labelSelector>

/** Whether it selects everything. */
export const isEmptySelector = (s: LabelSelector): boolean =>
  Object.keys(s.matchLabels ?? {}).length + (s.matchExpressions?.length ?? 0) === 0

/**
 * All broken rules of a selector (metav1 validation.ValidateLabelSelector). `allowInvalidValues`: values that are no label values pass, as
 * stored objects may have them.
 */
export function validateLabelSelector(
  selector: LabelSelector | undefined,
  options: { allowInvalidValues?: boolean },
  at: Path,
): FieldError[] {
  if (!selector) return []
  const errors = validateLabels(selector.matchLabels, at.child('matchLabels'))
  selector.matchExpressions?.forEach((e, i) => errors.push(...validateRequirement(e, options, at.child('matchExpressions').index(i))))
  return errors
}

function validateRequirement(requirement: LabelSelectorRequirement, options: { allowInvalidValues?: boolean }, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const values = requirement.values ?? []
  switch (requirement.operator) {
    case 'In':
    case 'NotIn':
      if (values.length === 0) errors.push(required(at.child('values'), "must be specified when `operator` is 'In' or 'NotIn'"))
      break
    case 'Exists':
    case 'DoesNotExist':
      if (values.length > 0)
        errors.push(forbidden(at.child('values'), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
      break
    default:
      errors.push(invalid(at.child('operator'), requirement.operator, 'not a valid selector operator'))
  }
  errors.push(...validateLabelName(requirement.key, at.child('key')))
  if (!options.allowInvalidValues)
    values.forEach((v, i) => errors.push(...isLabelValue(v).map(e => invalid(at.child('values').index(i), v, e))))
  return errors
}
