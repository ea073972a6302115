/** metav1.LabelSelector: selects objects by their labels. https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/ */
import { list, map, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'

export const labelSelectorRequirement = obj('io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelectorRequirement', 'One condition on a label: its key, an operator, and values for the operators that take some.', () => ({
  key: req(1, str(), { doc: 'The label key.', default: '' }),
  operator: req(2, str(), { doc: 'In, NotIn, Exists or DoesNotExist.', default: '' }),
  values: opt(3, list(str()), { doc: 'What In and NotIn compare with; empty for the other operators.', listType: 'atomic' }),
}))
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
