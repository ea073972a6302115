/**
 * CoreDNS' configuration, as far as cluster-dns honours it: the Corefile of the ConfigMap kube-system/coredns, which is where people put
 * stub domains. https://coredns.io/manual/toc/#configuration
 */

import { isIP } from 'node:net'
import { parseRewrite, type Rewrite } from './rewrites.ts'

export const corefileName = 'coredns'
export const corefileKey = 'Corefile'

export interface Upstream {
  address: string
  port: number
}
export interface Forward {
  /** Names below it are forwarded; '' for all. */
  from: string
  /** Of them those are not. */
  except: string[]
  /** In this order; 'system' stands for the machine's own resolvers. */
  to: (Upstream | 'system')[]
  policy: 'random' | 'round_robin' | 'sequential'
  forceTcp: boolean
}
export interface ServerBlock {
  /** Of names below them, '' for all, the block whose zone is the longest answers. */
  zones: string[]
  forwards: Forward[]
  /** Longest time that an answer is kept, and that something is not there, s; undefined: not at all. */
  cache?: { success: number; denial: number }
  hosts?: { addresses: Map<string, string[]>; ttl: number; fallthrough: boolean; reverse: boolean }
  rewrites: Rewrite[]
  /** Of names of the cluster. */
  kubernetes?: { ttl: number; pods: boolean }
}
export interface Corefile {
  blocks: ServerBlock[]
  /** What is not honoured, a sentence each. */
  ignored: string[]
}

/** What the cluster's own ConfigMap says to begin with. */
export const defaultCorefile = (domain: string): string => `.:53 {
    errors
    health
    ready
    kubernetes ${domain} in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 5
    }
    forward . /etc/resolv.conf
    cache 30
    loop
    reload
    loadbalance
}
`

interface Line {
  words: string[]
  number: number
  block?: Line[]
}

/** Directives that say what is so anyway, or what has no meaning for one process a node. */
const withoutMeaning = new Set(['errors', 'health', 'ready', 'loop', 'reload', 'loadbalance', 'bufsize', 'minimal', 'nsid', 'any'])
const maxBlocks = 64

/**
 * Throws an Error with the line's number for what cannot be read. `files` are those beside it: the other keys of its ConfigMap, which
 * CoreDNS has in `/etc/coredns`.
 */
export function parseCorefile(text: string, files: Readonly<Record<string, string>> = {}): Corefile {
  const ignored: string[] = []
  const blocks = nested(text).map(line => serverBlock(line, files, ignored))
  if (blocks.length > maxBlocks) throw new Error(`more than ${maxBlocks} server blocks`)
  return { blocks, ignored }
}

/** Lines of words, with those in braces below the one that opens them. */
function nested(text: string): Line[] {
  const root: Line[] = []
  const open: { lines: Line[]; at: number }[] = [{ lines: root, at: 0 }]
  for (const [i, raw] of text.split('\n').entries()) {
    const words = (raw.match(/"(?:[^"\\]|\\.)*"|#.*|[^\s#]\S*/g) ?? [])
      .filter(w => !w.startsWith('#'))
      .map(w => w.replace(/^"(.*)"$/, '$1'))
    if (words.length === 0) continue
    const number = i + 1
    const { lines } = open.at(-1)!
    if (words.length === 1 && words[0] === '}') {
      if (open.length === 1) throw new Error(`line ${number}: '}' without '{'`)
      open.pop()
    } else if (words.at(-1) === '{') {
      const line: Line = { words: words.slice(0, -1), number, block: [] }
      lines.push(line)
      open.push({ lines: line.block!, at: number })
    } else if (words.includes('{') || words.includes('}')) throw new Error(`line ${number}: '{' ends a line, and '}' has one of its own`)
    else lines.push({ words, number })
  }
  if (open.length > 1) throw new Error(`line ${open.at(-1)!.at}: '{' is never closed`)
  return root
}

/** `Example.COM.` as names are compared; `.` is ''. A scheme and a port are left away. */
const zoneOf = (word: string): string =>
  word
    .replace(/^dns:\/\//, '')
    .replace(/:\d+$/, '')
    .replace(/\.$/, '')
    .toLowerCase()

function serverBlock({ words, number, block }: Line, files: Readonly<Record<string, string>>, ignored: string[]): ServerBlock {
  if (!block) throw new Error(`line ${number}: a server block has braces`)
  const server: ServerBlock = { zones: words.map(w => zoneOf(w.replace(/,$/, ''))), forwards: [], rewrites: [] }
  if (server.zones.length === 0) server.zones.push('')
  for (const word of words)
    if (/^(tls|grpc|https|quic):/.test(word) || (/:(\d+)/.exec(word)?.[1] ?? '53') !== '53')
      ignored.push(`line ${number}: ${word} is served over UDP and TCP on port 53 only`)
  for (const line of block) directive(line, server, files, ignored)
  return server
}

function directive(line: Line, server: ServerBlock, files: Readonly<Record<string, string>>, ignored: string[]): void {
  const { number, block = [] } = line
  const [name = '', ...args] = line.words
  const skip = (what: string): void => void ignored.push(`line ${number}: ${what} is not honoured`)
  switch (name) {
    case 'forward':
    case 'proxy':
      return void server.forwards.push(forward(line, server, skip))
    case 'cache': {
      const most = args[0] !== undefined && /^\d+$/.test(args[0]) ? Number(args[0]) : undefined
      server.cache = { success: most ?? 3600, denial: most ?? 1800 }
      for (const { words } of block) {
        const [kind, , seconds] = words
        if (kind !== 'success' && kind !== 'denial') skip(`cache's ${kind}`)
        else if (seconds !== undefined) server.cache[kind] = whole(seconds, number)
      }
      return
    }
    case 'hosts': {
      const [file, ...zones] = args
      const text = file === undefined ? '' : files[file.replace(/^\/etc\/coredns\//, '')]
      if (text === undefined) return skip(`a file of hosts that is no key of the ConfigMap (${file})`)
      if (zones.length > 0) return skip('hosts of some zones')
      const hosts = { addresses: new Map<string, string[]>(), ttl: 3600, fallthrough: false, reverse: true }
      const add = ([address = '', ...names]: readonly string[]): void => {
        for (const host of names.map(zoneOf)) hosts.addresses.set(host, [...(hosts.addresses.get(host) ?? []), address])
      }
      for (const entry of text.split('\n')) {
        const words = entry.replace(/#.*/, '').trim().split(/\s+/)
        if (isIP(words[0] ?? '')) add(words)
      }
      for (const { words, number: at } of block) {
        const [first = '', seconds] = words
        if (first === 'fallthrough') hosts.fallthrough = true
        else if (first === 'ttl') hosts.ttl = whole(seconds, at)
        else if (isIP(first)) add(words)
        else if (first === 'no_reverse') hosts.reverse = false
        else if (first !== 'reload') ignored.push(`line ${at}: hosts' ${first} is not honoured`)
      }
      server.hosts = hosts
      return
    }
    case 'rewrite': {
      const words = [...args, ...block.flatMap(l => l.words)]
      try {
        const rule = parseRewrite(words)
        if (rule) server.rewrites.push(rule)
        else skip(`rewrite ${words.slice(0, 2).join(' ')}`)
      } catch (e) {
        throw new Error(`line ${number}: rewrite: ${(e as Error).message}`)
      }
      return
    }
    case 'kubernetes':
      server.kubernetes = { ttl: 5, pods: true }
      for (const { words, number: at } of block) {
        const [option = '', value] = words
        if (option === 'ttl') server.kubernetes.ttl = Math.min(3600, whole(value, at))
        else if (option === 'pods') server.kubernetes.pods = value !== 'disabled'
        else if (option !== 'fallthrough') ignored.push(`line ${at}: kubernetes' ${option} is not honoured`)
        if (option === 'pods' && value === 'verified') ignored.push(`line ${at}: pods verified is served as pods insecure`)
      }
      return
    default:
      if (!withoutMeaning.has(name)) skip(name)
  }
}

function forward({ words, number, block = [] }: Line, server: ServerBlock, skip: (what: string) => void): Forward {
  const [, from, ...to] = words
  if (from === undefined || to.length === 0) throw new Error(`line ${number}: forward needs a name and whom to ask`)
  const made: Forward = { from: zoneOf(from), except: [], to: [], policy: 'random', forceTcp: false }
  for (const target of to) {
    if (target.startsWith('/')) made.to.push('system')
    else if (/^(tls|https|grpc|quic):/.test(target)) skip(`forward to ${target}`)
    else made.to.push(upstream(target, number))
  }
  for (const { words: option, number: at } of block) {
    const [name = '', ...values] = option
    if (name === 'except') made.except.push(...values.map(zoneOf))
    else if (name === 'force_tcp') made.forceTcp = true
    else if (name === 'policy') {
      if (values[0] !== 'random' && values[0] !== 'round_robin' && values[0] !== 'sequential')
        throw new Error(`line ${at}: no policy ${values[0]}`)
      made.policy = values[0]
    } else if (!['prefer_udp', 'max_concurrent', 'max_fails', 'health_check', 'expire'].includes(name)) skip(`forward's ${name}`)
  }
  return made
}

/** `10.0.0.1`, `10.0.0.1:5353`, `[fd00::1]:53`, `fd00::1`. */
function upstream(text: string, line: number): Upstream {
  const bare = text.replace(/^dns:\/\//, '')
  const match =
    /^\[([0-9a-fA-F:.]+)\](?::(\d+))?$/.exec(bare) ??
    /^(\d+\.\d+\.\d+\.\d+)(?::(\d+))?$/.exec(bare) ??
    /^([0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$/.exec(bare)
  const port = Number(match?.[2] ?? 53)
  if (!match || port < 1 || port > 65_535) throw new Error(`line ${line}: ${text} is no address`)
  return { address: match[1]!, port }
}

function whole(text: string | undefined, line: number): number {
  if (text === undefined || !/^\d+$/.test(text)) throw new Error(`line ${line}: ${text ?? ''} is no whole number`)
  return Number(text)
}

/** Whether a name, in lower case, is a zone or below it. */
export const isBelow = (name: string, zone: string): boolean => zone === '' || name === zone || name.endsWith(`.${zone}`)

/** The block that answers for a name. */
export function blockFor({ blocks }: Corefile, name: string): ServerBlock | undefined {
  let found: { block: ServerBlock; length: number } | undefined
  for (const block of blocks)
    for (const zone of block.zones) if (isBelow(name, zone) && zone.length >= (found?.length ?? 0)) found = { block, length: zone.length }
  return found?.block
}
