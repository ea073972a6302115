/** Rules as HAProxy's maps, which are as fast for a thousand hosts as for one, and as lines where a map cannot tell. */
import { backendName } from './endpoints.ts'
import type { PathMatch, Rule } from './model.ts'

/** What a frontend has in the maps, so that nothing is asked of one that is empty: each step of a request shows in how many there can be. */
export interface Table {
  exact: boolean
  regex: boolean
  /** Hosts with a wildcard for one label, for any number of them, and rules for every host. */
  wildcards: boolean
  suffixes: boolean
  any: boolean
  /** Lines that choose within groups. */
  choices: string[]
}
export const emptyTable = (): Table => ({ exact: false, regex: false, wildcards: false, suffixes: false, any: false, choices: [] })

/** `/foo` and `/foo/` are one prefix; with a slash at the end it never matches half of an element. */
const withSlash = (path: string): string => (path.endsWith('/') ? path : `${path}/`)

/** Whether every path that `inner` matches is one of `outer`, as far as that can be said. */
function covers(outer: PathMatch, inner: PathMatch): boolean {
  if (outer.type !== 'Prefix' || inner.type === 'Regex') return outer.type === 'Prefix' && withSlash(outer.value) === '/'
  return withSlash(inner.value).startsWith(withSlash(outer.value))
}
const pathKey = ({ type, value }: PathMatch): string => `${type} ${type === 'Prefix' ? withSlash(value) : value}`

interface Group {
  path: PathMatch
  rules: Rule[]
}
/** Rules of one host by their paths, the most specific first. */
function groupsOf(rules: readonly Rule[]): Group[] {
  const groups = new Map<string, Group>()
  for (const rule of rules) {
    const group = groups.get(pathKey(rule.path)) ?? { path: rule.path, rules: [] }
    group.rules.push(rule)
    groups.set(pathKey(rule.path), group)
  }
  for (const group of groups.values()) group.rules.sort((a, b) => b.precedence - a.precedence)
  return [...groups.values()].sort((a, b) => b.path.value.length - a.path.value.length)
}

/** Of the rules of a group those that can be chosen, then those of the paths around it: until one has no conditions. */
function candidates(group: Group, all: readonly Group[]): Rule[] {
  const found: Rule[] = []
  for (const other of [group, ...all.filter(g => g !== group && covers(g.path, group.path))])
    for (const rule of other.rules) {
      found.push(rule)
      if (rule.conditions.length === 0) return found
    }
  return found
}

const single = (rule: Rule): string => (rule.targets[0] ? backendName(rule.targets[0]) : 'unavailable')

/** What sets the backend of a rule in a group, one target by its weight. Once it is set, the others of the group do not match any more. */
function choose(group: string, { conditions, targets }: Rule): string[] {
  const when = [`{ var(txn.r) -m str ${group} }`, ...conditions].join(' ')
  const able = targets.filter(t => t.weight > 0)
  if (able.length === 0) return [`http-request set-var(txn.r) str(unavailable) if ${when}`]
  let left = able.reduce((sum, t) => sum + t.weight, 0)
  // Each draws for what those before it left over; all conditions are looked at once a target.
  return able.map(t => {
    const draw = t.weight === left ? '' : ` { rand(${left}) lt ${t.weight} }`
    left -= t.weight
    return `http-request set-var(txn.r) str(${backendName(t)}) if ${when}${draw}`
  })
}

export const mapText = (all: readonly string[]): string => all.map(l => `${l}\n`).join('')
/** Longest first: the first that fits is taken. */
export const suffixText = (all: string[]): string => mapText(all.sort((a, b) => b.length - a.length))

/**
 * The maps by file name, and for each port that has rules of its own (undefined: those of Ingresses) what is in them. A host's key ends with
 * `|` and the scheme, `p` or `s`, or the port.
 */
export function routingMaps(rules: readonly Rule[]): { texts: Map<string, string>; tables: Map<number | undefined, Table> } {
  const hosts: string[] = []
  const suffixes: string[] = []
  const maps: Record<PathMatch['type'], string[]> = { Exact: [], Prefix: [], Regex: [] }
  const tables = new Map<number | undefined, Table>()
  let groupCount = 0
  let id = 0
  function addHost(host: string, schemes: readonly string[], own: readonly Rule[], table: Table): void {
    const key = `h${++id}`
    if (host === '') table.any = true
    if (host.startsWith('*.')) table.wildcards = true
    if (host.startsWith('**.')) table.suffixes = true
    for (const scheme of schemes)
      if (host.startsWith('**.')) suffixes.push(`${host.slice(2)}|${scheme} ${key}`)
      else hosts.push(`${host}|${scheme} ${key}`)
    const groups = groupsOf(own)
    for (const group of groups) {
      const list = candidates(group, groups)
      const plain = list[0]!.conditions.length === 0 && list[0]!.targets.length <= 1
      const name = plain ? single(list[0]!) : `g${++groupCount}`
      if (!plain) table.choices.push(...list.flatMap(rule => choose(name, rule)))
      const { type, value } = group.path
      if (type === 'Exact') table.exact = true
      if (type === 'Regex') table.regex = true
      if (type === 'Regex') maps.Regex.push(`(?i)^${key}\\|${value} ${name}`)
      else maps[type].push(`${key}|${type === 'Prefix' ? withSlash(value) : value} ${name}`)
    }
  }
  for (const [at, some] of Map.groupBy(rules, r => r.at)) {
    const table = emptyTable()
    tables.set(at, table)
    for (const [host, all] of Map.groupBy(some, r => r.host)) {
      if (at !== undefined) {
        addHost(host, [String(at)], all, table)
        continue
      }
      // Over TLS and without it a host is another one, where the rules are.
      const own = (secure: boolean): Rule[] => all.filter(r => r.secure === undefined || r.secure === secure)
      const both = all.every(r => r.secure === undefined)
      for (const [schemes, mine] of both ? [['ps', all] as const] : [['p', own(false)] as const, ['s', own(true)] as const])
        if (mine.length > 0) addHost(host, [...schemes], mine, table)
    }
  }
  const texts = new Map<string, string>([
    ['hosts.map', mapText(hosts)],
    ['suffixes.map', suffixText(suffixes)],
    ['exact.map', mapText(maps.Exact)],
    ['prefix.map', mapText(maps.Prefix)],
    ['regex.map', mapText(maps.Regex)],
  ])
  return { texts, tables }
}
