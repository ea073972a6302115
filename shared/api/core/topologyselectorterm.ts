/** core/v1 TopologySelectorTerm, and its rules. */
import { duplicate, required, type FieldError, type Path } from '../../machinery/field.ts'
import { list, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { semanticEqual, validateLabelName } from '../meta/validation.ts'

export const topologySelectorTerm = obj(
  'io.k8s.api.core.v1.TopologySelectorTerm',
  'Labels of nodes; all must hold.',
  () => ({
    matchLabelExpressions: opt(1, list(topologySelectorLabelRequirement), { doc: 'The labels.', listType: 'atomic' }),
  }),
  { atomic: true },
)
export type TopologySelectorTerm = Infer<typeof topologySelectorTerm>
const topologySelectorLabelRequirement = obj(
  'io.k8s.api.core.v1.TopologySelectorLabelRequirement',
  'A label of which one value must hold.',
  () => ({
    key: req(1, str(), { doc: 'The label key.', default: '' }),
    values: req(2, list(str()), { doc: 'The values.', listType: 'atomic' }),
  }),
)
export type TopologySelectorLabelRequirement = Infer<typeof topologySelectorLabelRequirement>

/** Terms, no two of which may say the same. */
export function validateTopologySelectorTerms(terms: readonly TopologySelectorTerm[], at: Path): FieldError[] {
  // Upstream starts with an empty one, so that an empty term is always one too many.
  const seen: { [label: string]: readonly string[] }[] = [{}]
  return terms.flatMap((term, i) => {
    const here = at.index(i).child('matchLabelExpressions')
    const labels: { [label: string]: readonly string[] } = {}
    const errors = (term.matchLabelExpressions ?? []).flatMap(({ key, values = [] }, j) => {
      const path = here.index(j)
      const bad = values.length === 0 ? [required(path.child('values'))] : []
      values.forEach((v, k) => {
        if (values.indexOf(v) < k) bad.push(duplicate(path.child('values').index(k), v))
      })
      bad.push(...validateLabelName(key, path.child('key')))
      if (Object.hasOwn(labels, key)) bad.push(duplicate(path.child('key'), key))
      labels[key] = [...new Set(values)].sort()
      return bad
    })
    if (seen.some(other => semanticEqual(other, labels))) errors.push(duplicate(here, ''))
    seen.push(labels)
    return errors
  })
}
