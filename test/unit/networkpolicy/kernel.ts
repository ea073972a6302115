/** As much of nftables as network policies use: holds what scripts make, and judges packets by the text of the rules. */
import { ipToNumber, parseCidr } from '#node-agent/network/addresses.ts'

export interface Packet {
  saddr: string
  daddr: string
  protocol: string
  port: number
}
export interface Kernel {
  apply(script: string): void
  accepts(packet: Packet): boolean
  /** Everything it holds, in a form that can be compared. */
  dump(): unknown
}

const inRange = (ip: string, cidr: string): boolean => {
  const { base, prefix } = parseCidr(cidr)
  return ipToNumber(ip) >= base && ipToNumber(ip) < base + 2 ** (32 - prefix)
}

export function newKernel(): Kernel {
  const sets = new Map<string, Map<string, string>>()
  const chains = new Map<string, string[]>()
  const has = <T>(map: Map<string, T>, name: string): T => {
    const found = map.get(name)
    if (!found) throw new Error(`nft: no such thing: ${name}`)
    return found
  }
  function line(text: string): void {
    const [action, what, , , name = '', ...rest] = text.split(' ')
    const tail = rest.join(' ')
    if (action === 'add' && what === 'set') sets.set(name, sets.get(name) ?? new Map())
    else if (action === 'add' && what === 'chain') chains.set(name, chains.get(name) ?? [])
    else if (action === 'add' && what === 'rule') {
      for (const [, other] of tail.matchAll(/jump (\S+)/g)) has(chains, other!)
      for (const [, set] of tail.matchAll(/@(\S+)/g)) has(sets, set!)
      has(chains, name).push(tail)
    } else if (action === 'flush') has(chains, name).length = 0
    else if (action === 'delete' && what === 'chain') {
      has(chains, name)
      const used = [...chains.values()].flat().concat(...[...sets.values()].map(s => [...s.values()]))
      if (used.some(rule => rule.split(' ').includes(name))) throw new Error(`nft: ${name} is busy`)
      chains.delete(name)
    } else if (action === 'delete' && what === 'set') {
      if ([...chains.values()].flat().some(rule => rule.includes(`@${name}`))) throw new Error(`nft: ${name} is busy`)
      has(sets, name)
      sets.delete(name)
    } else if (what === 'element') {
      const set = has(sets, name)
      for (const element of tail.replace(/^\{ | \}$/g, '').split(', ')) {
        const [key = '', value = ''] = element.split(' : ')
        if (action === 'delete' && !set.delete(key)) throw new Error(`nft: no element ${key} in ${name}`)
        if (action !== 'add') continue
        if (set.has(key)) throw new Error(`${key} is in ${name} already`)
        if (value !== '') has(chains, value.replace('goto ', ''))
        set.set(key, value)
      }
    } else throw new Error(`nft: ${text}`)
  }
  function matches(rule: string, { saddr, daddr, protocol, port }: Packet): boolean {
    const address = (side: string): string => (side === 's' ? saddr : daddr)
    let rest = rule.replace(/ ?(accept|counter drop|jump \S+)$/, '')
    const take = (pattern: RegExp, test: (...groups: string[]) => boolean): boolean => {
      const match = pattern.exec(rest)
      if (!match) return true
      rest = rest.replace(match[0], '')
      return test(...match.slice(1))
    }
    let all = take(/ip saddr \. ip daddr @(\S+) ?/, set => has(sets, set).has(`${saddr} . ${daddr}`))
    all = take(/ip daddr \. th dport @(\S+) ?/, set => has(sets, set).has(`${daddr} . ${port}`)) && all
    all = take(/ip (s|d)addr @(\S+) ?/, (side, set) => has(sets, set).has(address(side))) && all
    all = take(/ip (s|d)addr (\d\S+) ?/, (side, cidr) => inRange(address(side), cidr)) && all
    while (/ip (s|d)addr != /.test(rest)) all = take(/ip (s|d)addr != (\S+) ?/, (side, cidr) => !inRange(address(side), cidr)) && all
    all = take(/meta l4proto (\S+) ?/, name => name === protocol.toLowerCase()) && all
    all =
      take(/th dport \{ (.*?) \} ?/, list => {
        const ranges = list.split(', ').map(r => r.split('-').map(Number))
        // What the kernel refuses.
        for (const [i, [first]] of ranges.entries())
          if (i > 0 && first! <= ranges[i - 1]!.at(-1)!) throw new Error('nft: conflicting intervals')
        return ranges.some(([first, last = first]) => port >= first! && port <= last!)
      }) && all
    if (rest.trim() !== '') throw new Error(`cannot read "${rest}" in "${rule}"`)
    return all
  }
  function verdict(chain: string, packet: Packet): 'accept' | 'drop' | undefined {
    for (const rule of has(chains, chain)) {
      if (!matches(rule, packet)) continue
      if (rule.endsWith('accept')) return 'accept'
      if (rule.endsWith('drop')) return 'drop'
      const called = verdict(/jump (\S+)$/.exec(rule)![1]!, packet)
      if (called) return called
    }
    return undefined
  }
  return {
    apply(script) {
      let text = script
      const skeleton = /^table ip \S+ \{\}\ndelete table ip \S+\n(table ip \S+ \{\n[^]*?\n\}\n)?/.exec(script)
      if (skeleton) {
        sets.clear()
        chains.clear()
        for (const [, name] of (skeleton[1] ?? '').matchAll(/(?:map|set) (\S+) \{/g)) sets.set(name!, new Map())
        text = script.slice(skeleton[0].length)
      }
      for (const one of text.split('\n')) if (one !== '') line(one)
    },
    accepts(packet) {
      const through = (map: string, address: string): boolean => {
        const goto = sets.get(map)?.get(address)
        return goto === undefined || verdict(goto.replace('goto ', ''), packet) !== 'drop'
      }
      return through('egress-pods', packet.saddr) && through('ingress-pods', packet.daddr)
    },
    dump: () => ({
      sets: Object.fromEntries([...sets].sort().map(([name, set]) => [name, [...set].sort()])),
      chains: Object.fromEntries([...chains].sort()),
    }),
  }
}
