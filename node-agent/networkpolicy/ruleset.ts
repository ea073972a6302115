/**
 * Decisions in the words of nftables: the whole table, or what changes it element by element. Forwarded packets alone are judged, so that
 * the node itself, its kubelet's probes and pods of its network among it, always reaches its pods and they reach it. Addresses of Services
 * have been replaced by then. Answers are let through; what a connection's client sends is judged as long as it lasts, so that a new policy
 * holds for connections that there are, too.
 */
import { familyWords } from '#shared/linux/nft.ts'
import type { IPFamily } from '#shared/machinery/ip.ts'
import { groupOf, type Decisions } from './decisions.ts'
import { directions, hashed, type Direction, type Peer, type PolicyRules, type Ports, type Rule } from './rules.ts'

const tableOf = (family: IPFamily): string => `${familyWords[family].ip} coxswain-networkpolicy`

/** What the kernel holds beside the elements of sets, which know themselves what is new. */
export interface Written {
  sets: ReadonlySet<string>
  /** Chain to its rules, a line each. */
  chains: ReadonlyMap<string, string>
  /** Map or set of the skeleton to its elements: key to value, or to ''. */
  elements: ReadonlyMap<string, ReadonlyMap<string, string>>
}
/** A transaction that makes the kernel hold `after`; an empty script when it does. */
export interface Change {
  script: string
  after: Written | undefined
}

const skeleton = (family: IPFamily): string => {
  const { ip, address } = familyWords[family]
  return `table ${tableOf(family)} {
  map ingress-pods { type ${address} : verdict; }
  map egress-pods { type ${address} : verdict; }
  set itself { type ${address} . ${address}; }
  chain egress {
    type filter hook forward priority -20;
    ct direction reply accept
    ct state related accept
    ${ip} saddr vmap @egress-pods
  }
  chain ingress {
    type filter hook forward priority -10;
    ct direction reply accept
    ct state related accept
    ${ip} daddr vmap @ingress-pods
  }
}
`
}
export const removal = (family: IPFamily): string => `table ${tableOf(family)} {}\ndelete table ${tableOf(family)}\n`

/**
 * The script from what was written (undefined: nothing, or nobody knows what) to what is decided. Without isolated pods there is no table.
 */
export function changeTo(before: Written | undefined, decisions: Decisions, family: IPFamily = 'IPv4'): Change {
  if (directions.every(d => decisions.isolated[d].size === 0)) return { script: before ? removal(family) : '', after: undefined }
  const after = {
    sets: new Set(decisions.sets.keys()),
    chains: chainsOf(decisions, family),
    elements: elementsOf(decisions),
  }
  const start = before ? '' : removal(family) + skeleton(family)
  return {
    script: start + difference(before ?? { sets: new Set(), chains: new Map(), elements: new Map() }, after, decisions, family),
    after,
  }
}

const groupChain = (direction: Direction, keys: readonly string[]): string => `${direction}-pods-${groupOf(keys)}`
const policyChain = (direction: Direction, key: string): string => `${direction}-${hashed(key)}-${key}`

function chainsOf({ isolated, policies }: Decisions, family: IPFamily): Map<string, string> {
  const { ip } = familyWords[family]
  const chains = new Map<string, string>()
  for (const direction of directions) {
    for (const [key, policy] of policies)
      if (policy[direction]) chains.set(policyChain(direction, key), policyText(direction, policy, family))
    for (const keys of isolated[direction].values()) {
      const name = groupChain(direction, keys)
      if (!chains.has(name))
        chains.set(
          name,
          [...keys.map(key => `jump ${policyChain(direction, key)}`), `${ip} saddr . ${ip} daddr @itself accept`, 'counter drop'].join(
            '\n',
          ),
        )
    }
  }
  return chains
}

function elementsOf({ isolated }: Decisions): Map<string, Map<string, string>> {
  const itself = new Map<string, string>()
  const elements = new Map([['itself', itself]])
  for (const direction of directions) {
    const pods = new Map<string, string>()
    elements.set(`${direction}-pods`, pods)
    for (const [ip, keys] of isolated[direction]) {
      pods.set(ip, `goto ${groupChain(direction, keys)}`)
      itself.set(`${ip} . ${ip}`, '')
    }
  }
  return elements
}

const texts: Record<Direction, WeakMap<PolicyRules, string>> = { ingress: new WeakMap(), egress: new WeakMap() }
/** Rules are of one family, and so is their text. */
function policyText(direction: Direction, policy: PolicyRules, family: IPFamily): string {
  const known = texts[direction].get(policy)
  if (known !== undefined) return known
  const text = policy[direction]!.map(rule => ruleText(direction, rule, family)).join('\n')
  texts[direction].set(policy, text)
  return text
}

/** One rule of nftables. */
export const ruleText = (direction: Direction, { peer, ports }: Rule, family: IPFamily = 'IPv4'): string => {
  const { ip } = familyWords[family]
  return [peerText(`${ip} ${direction === 'ingress' ? 'saddr' : 'daddr'}`, peer), portsText(ports, ip), 'accept'].filter(Boolean).join(' ')
}

function peerText(address: string, peer: Peer): string {
  if (peer === 'anybody') return ''
  if ('set' in peer) return `${address} @${peer.set}`
  const within = peer.block.endsWith('/0') ? [] : [`${address} ${peer.block}`]
  return [...within, ...peer.except.map(range => `${address} != ${range}`)].join(' ')
}

function portsText(ports: Ports, ip: string): string {
  if (ports === 'any') return ''
  const protocol = `meta l4proto ${ports.protocol.toLowerCase()}`
  if ('set' in ports) return `${protocol} ${ip} daddr . th dport @${ports.set}`
  if (ports.ranges.some(([first, last]) => first === 0 && last === 65_535)) return protocol
  return `${protocol} th dport { ${ports.ranges.map(([first, last]) => (first === last ? first : `${first}-${last}`)).join(', ')} }`
}

const typeOf = (set: string, address: string): string => (set.startsWith('port-') ? `${address} . inet_service` : address)

function difference(before: Written, after: Written, { sets }: Decisions, family: IPFamily): string {
  const table = tableOf(family)
  const lines: string[] = []
  const element = (action: 'add' | 'delete', set: string, which: readonly string[]): void => {
    if (which.length > 0) lines.push(`${action} element ${table} ${set} { ${which.join(', ')} }`)
  }
  for (const [name, { elements, added, removed }] of sets) {
    const known = before.sets.has(name)
    if (!known) lines.push(`add set ${table} ${name} { type ${typeOf(name, familyWords[family].address)}; }`)
    if (known) element('delete', name, [...removed])
    element('add', name, known ? [...added] : [...elements.keys()])
  }
  const changed = [...after.chains].filter(([name, rules]) => before.chains.get(name) !== rules)
  // Chains may name each other: all must exist before the first rule.
  for (const [name] of changed)
    lines.push(`add chain ${table} ${name}`, ...(before.chains.has(name) ? [`flush chain ${table} ${name}`] : []))
  for (const [name, rules] of changed) for (const rule of rules.split('\n').filter(Boolean)) lines.push(`add rule ${table} ${name} ${rule}`)
  for (const [name, now] of after.elements) {
    const then = before.elements.get(name) ?? new Map<string, string>()
    element('delete', name, [...then.keys()].filter(key => now.get(key) !== then.get(key))) // prettier-ignore
    const fresh = [...now].filter(([key, value]) => then.get(key) !== value)
    element('add', name, fresh.map(([key, value]) => (value === '' ? key : `${key} : ${value}`))) // prettier-ignore
  }
  const dead = [...before.chains.keys()].filter(name => !after.chains.has(name))
  // As above: none may be named by another when it goes.
  for (const name of dead) lines.push(`flush chain ${table} ${name}`)
  for (const name of dead) lines.push(`delete chain ${table} ${name}`)
  for (const name of before.sets) if (!after.sets.has(name)) lines.push(`delete set ${table} ${name}`)
  return lines.map(line => `${line}\n`).join('')
}
