/** What came of a run, for people and for programs. */
import { table } from '../print.ts'
import type { ActionKind, HistoryEvent, Violation } from './history.ts'

export interface ActionReport {
  /** Seconds since the start. */
  at: number
  action: ActionKind
  target: string
  /** What was mended, and after how long. */
  mended?: string
  /**
   * Seconds until what was hit worked again, and until everything was as asked for: counted from the blow, or from when it was mended.
   * Null: not in time.
   */
  worksAfter: number | null
  wholeAfter: number | null
}

export interface Report {
  ok: boolean
  seed: number
  seconds: number
  interrupted: boolean
  actions: ActionReport[]
  writes: Record<'acknowledged' | 'refused' | 'unknown', number>
  /** How many changes the watches told. */
  changes: number
  violations: (Omit<Violation, 'at'> & { at: number })[]
}

export function report(
  seed: number,
  interrupted: boolean,
  actions: ActionReport[],
  history: readonly HistoryEvent[],
  violations: readonly Violation[],
): Report {
  const writes = { acknowledged: 0, refused: 0, unknown: 0 }
  let changes = 0
  for (const event of history) {
    if (event.type === 'write') writes[event.outcome]++
    if (event.type === 'change') changes++
  }
  return {
    ok: violations.length === 0,
    seed,
    seconds: round((history.at(-1)?.at ?? 0) / 1000),
    interrupted,
    actions,
    writes,
    changes,
    violations: violations.map(v => ({ ...v, at: round(v.at / 1000) })),
  }
}

export const round = (seconds: number): number => Math.round(seconds * 100) / 100

export function describe({ ok, seed, seconds, actions, writes, changes, violations, interrupted }: Report): string {
  const rows = [...new Set(actions.map(a => a.action))].sort().map(kind => {
    const own = actions.filter(a => a.action === kind)
    return [kind, String(own.length), ...figures(own.map(a => a.worksAfter)), ...figures(own.map(a => a.wholeAfter))]
  })
  return [
    ...(rows.length > 0 ? [table(['ACTION', 'TIMES', 'WORKS (MEDIAN)', 'SLOWEST', 'WHOLE (MEDIAN)', 'SLOWEST'], rows), ''] : []),
    `${actions.length} actions in ${seconds.toFixed(0)} s${interrupted ? ' (interrupted)' : ''}, seed ${seed}`,
    `${writes.acknowledged} writes acknowledged, ${writes.unknown} without an answer, ${writes.refused} refused; ${changes} changes watched`,
    ok ? 'no violation' : `${violations.length} violation${violations.length > 1 ? 's' : ''}:`,
    ...violations.map(v => `  ${v.at.toFixed(1).padStart(6)} s  ${v.invariant}: ${v.message}`),
  ].join('\n')
}

function figures(values: readonly (number | null)[]): [string, string] {
  const sorted = values.map(v => v ?? Infinity).sort((a, b) => a - b)
  return [shown(sorted[Math.floor((sorted.length - 1) / 2)] ?? Infinity), shown(sorted.at(-1) ?? Infinity)]
}
export const shown = (seconds: number): string => (Number.isFinite(seconds) ? `${seconds.toFixed(2)} s` : 'never')
