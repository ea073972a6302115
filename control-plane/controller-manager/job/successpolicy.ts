/** Whether enough indexes have succeeded for a job's successPolicy. pkg/controller/job/success_policy.go */
import type { Job } from '#shared/api/batch/job.ts'
import { common, parseIntervals, total, type Intervals } from './intervals.ts'

/** Says which rule holds; undefined for none. */
export function successPolicyMet({ spec }: Job, succeeded: Intervals): string | undefined {
  if (succeeded.length === 0) return undefined
  const met = (spec.successPolicy?.rules ?? []).findIndex(({ succeededIndexes, succeededCount }) => {
    if (succeededIndexes === undefined) return succeededCount !== undefined && total(succeeded) >= succeededCount
    const wanted = parseIntervals(succeededIndexes, spec.completions ?? 0)
    if (wanted.length === 0) return false
    const there = common(wanted, succeeded)
    return there === total(wanted) || (succeededCount !== undefined && there >= succeededCount)
  })
  return met < 0 ? undefined : `Matched rules at index ${met}`
}
