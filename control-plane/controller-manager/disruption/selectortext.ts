/** A label selector as Go prints it, which is how upstream's events show one. */
import type { LabelSelector } from '#shared/api/meta/labelselector.ts'

export function selectorText(selector: LabelSelector | undefined): string {
  if (!selector) return 'nil'
  const { matchLabels = {}, matchExpressions = [] } = selector
  const labels = Object.keys(matchLabels).sort().map(key => `${key}: ${matchLabels[key]},`) // prettier-ignore
  const expressions = matchExpressions.map(
    ({ key, operator, values = [] }) => `LabelSelectorRequirement{Key:${key},Operator:${operator},Values:[${values.join(' ')}],},`,
  )
  const both = `MatchLabels:map[string]string{${labels.join('')}},MatchExpressions:[]LabelSelectorRequirement{${expressions.join('')}},`
  return `&LabelSelector{${both}}`
}
