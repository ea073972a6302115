/** Label selectors and int-or-percent values, as controllers need them. */
import type { LabelSelector } from '#shared/api/meta/labelselector.ts'

type Labels = { readonly [key: string]: string } | undefined

/** Whether `labels` meet the selector; an absent selector selects nothing, an empty one everything. */
export function matches(selector: LabelSelector | undefined, labels: Labels): boolean {
  if (!selector) return false
  return (
    Object.entries(selector.matchLabels ?? {}).every(([k, v]) => labels?.[k] === v) &&
    (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
      const value = labels?.[key]
      if (operator === 'In') return value !== undefined && values.includes(value)
      if (operator === 'NotIn') return value === undefined || !values.includes(value)
      return (operator === 'Exists') === (value !== undefined)
    })
  )
}
/** Whether `labels` have all of a Service's selector. */
export const matchesAll = (selector: Labels, labels: Labels): boolean => Object.entries(selector ?? {}).every(([k, v]) => labels?.[k] === v)
export const selectsEverything = (selector: LabelSelector | undefined): boolean =>
  selector !== undefined && Object.keys(selector.matchLabels ?? {}).length === 0 && (selector.matchExpressions ?? []).length === 0

/** A number, or a percentage of `total`, rounded up or down. */
export function scaledValue(value: number | string | undefined, total: number, roundUp: boolean): number {
  if (value === undefined) return 0
  if (typeof value === 'number') return value
  const percent = /^(\d+)%$/.exec(value)
  if (!percent) throw new Error(`invalid value for IntOrString: ${JSON.stringify(value)}`)
  // In integers first: 0.07 * 100 is not 7 in floating point.
  const product = Number(percent[1]) * total
  return roundUp ? Math.ceil(product / 100) : Math.floor(product / 100)
}
