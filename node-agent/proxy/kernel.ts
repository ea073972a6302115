/** What the kernel holds for all Services together, and the scripts that lead from there to what they want now. */
import { newClaims, type Claims } from './claims.ts'
import type { Ruleset } from './ruleset.ts'
import { newSelections } from './selections.ts'
import { ELEMENTS, skeleton, tableOf, type TableOptions } from './table.ts'

export interface KernelTable {
  /** The rules of a Service from now on; undefined when it has none. They must not change afterwards. */
  set(service: string, rules: Ruleset | undefined): void
  of(service: string): Ruleset | undefined
  all(): Iterable<Ruleset>
  /** nft's script for what is not in the kernel yet, of which only what differs is named; empty when nothing does. */
  script(): string
  /** The script has been applied. */
  written(): void
  /** Nobody knows what the kernel holds: the next script makes the table anew. */
  lost(): void
}

export function newKernelTable(options: TableOptions): KernelTable {
  const table = tableOf(options.family)
  const models = new Map<string, Ruleset>()
  const chains = newClaims()
  const sets = newClaims()
  const elements = new Map(ELEMENTS.map(name => [name, newClaims()]))
  const selections = newSelections()
  const claims: Claims[] = [chains, sets, ...elements.values()]
  let known = false
  const withIds = (text: string): string => text.replace(/<([^>]+)>/g, (_, name: string) => String(selections.id(name)))

  return {
    set(service, rules) {
      const before = models.get(service)
      if (rules) models.set(service, rules)
      else models.delete(service)
      chains.set(service, before?.chains, rules?.chains)
      sets.set(service, before?.affinity, rules?.affinity)
      for (const [name, all] of elements) all.set(service, before?.elements.get(name), rules?.elements.get(name))
      selections.set(before?.selections, rules?.selections)
    },
    of: service => models.get(service),
    all: () => models.values(),
    script() {
      const lines: string[] = []
      const { gone: deadSets, fresh: newSets } = sets.changes()
      const { gone, fresh } = chains.changes()
      const [existing, kept] = [new Set(gone), new Set(fresh.map(([name]) => name))]
      const deadChains = gone.filter(name => !kept.has(name))
      const change = (name: string, went: readonly string[], came: readonly (readonly [string, string])[]): void => {
        if (went.length > 0) lines.push(`delete element ${table} ${name} { ${went.join(', ')} }`)
        const texts = came.map(([key, value]) => (value === '' ? key : `${key} : ${value.includes('<') ? withIds(value) : value}`))
        if (texts.length > 0) lines.push(`add element ${table} ${name} { ${texts.join(', ')} }`)
      }
      for (const [name, definition] of newSets) lines.push(`add set ${table} ${name} { ${definition} }`)
      // Chains may name each other: all must exist before the first rule.
      for (const [name] of fresh) lines.push(`add chain ${table} ${name}`, ...(existing.has(name) ? [`flush chain ${table} ${name}`] : []))
      for (const [name, rules] of fresh) for (const rule of rules.split('\n')) lines.push(`add rule ${table} ${name} ${withIds(rule)}`)
      for (const [map, { gone: went, fresh: came }] of selections.changes()) change(map, went, came)
      for (const [name, all] of elements) {
        const { gone: went, fresh: came } = all.changes()
        change(name, went, came)
      }
      // As above: none may be named by another when it goes.
      for (const name of deadChains) lines.push(`flush chain ${table} ${name}`)
      for (const name of deadChains) lines.push(`delete chain ${table} ${name}`)
      for (const name of deadSets) lines.push(`delete set ${table} ${name}`)
      return (known ? '' : skeleton(options)) + lines.map(line => `${line}\n`).join('')
    },
    written() {
      known = true
      for (const one of claims) one.written()
      selections.written()
    },
    lost() {
      known = false
      for (const one of claims) one.lost()
      selections.lost()
    },
  }
}
