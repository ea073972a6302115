/** What passed, by special interest group. */
import type { Outcome } from './spec.ts'

export const sigOf = (name: string): string => /^\[([^\]]+)\]/.exec(name)?.[1] ?? 'other'

/** A table of the groups, then every spec that did not pass with its cause. */
export function report(outcomes: readonly Outcome[]): string {
  const groups = Map.groupBy(outcomes, o => sigOf(o.name))
  const passed = (of: readonly Outcome[]): number => of.filter(o => o.result === 'passed').length
  const rows = [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([sig, of]) => `${sig.padEnd(24)} ${passed(of)} of ${of.length}`)
  const others = outcomes.filter(o => o.result !== 'passed').map(o => `${o.result.padEnd(9)} ${o.name}\n          ${o.cause || o.log}`)
  return [...others, '', ...rows, `${'all'.padEnd(24)} ${passed(outcomes)} of ${outcomes.length}`].join('\n')
}
