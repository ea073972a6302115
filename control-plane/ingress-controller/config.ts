/** HAProxy's configuration: the routing in maps, which are as fast for a thousand hosts as for one, and a backend for each target. */
import { createHash } from 'node:crypto'
import { targetKey } from './endpoints.ts'
import {
  listenerPort,
  type Certificate,
  type Listening,
  type PathMatch,
  type Routing,
  type Rule,
  type Stream,
  type Target,
} from './model.ts'
import { mirrorFile, mirrorScript } from './mirror.ts'
import { streamSections } from './streams.ts'

/** Where the proxy's files and sockets are, and the ports that it listens on. */
export interface Place {
  dir: string
  ports: { http: number; https: number; health: number }
}
export const usualPorts: Place['ports'] = { http: 8080, https: 8443, health: 8081 }

export interface BackendSection {
  target: Target
  slots: string[]
}
export interface Files {
  /** File name to its text. */
  texts: Map<string, string>
  /** Changes exactly when HAProxy has to read its files again: the addresses in the slots it is told otherwise. */
  structure: string
}

/** Where the proxy listens for what comes to a port of its Service. */
export function innerPort({ ports }: Place, port: number): number {
  if (port === 80) return ports.http
  if (port === 443) return ports.https
  return isReserved(port) ? port + 20_000 : port
}
const isReserved = (port: number): boolean => Object.values(usualPorts).includes(port)
/** Whether a Gateway can have the port: some are those of others within. */
export const canListen = (port: number): boolean => !isReserved(port - 20_000)

const hash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16)
export const backendName = (target: Target): string => `b_${hash(targetKey(target))}`
const noAddress = '127.0.0.1:1'

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

/** The proxy's files for a routing, and for its certificates by file name. `section` gives the backend of a target. */
export function render(
  { rules, streams = [], listening = [] }: Pick<Routing, 'rules' | 'streams' | 'listening'>,
  certificates: ReadonlyMap<string, readonly Certificate[]>,
  sections: ReadonlyMap<string, BackendSection>,
  place: Place,
): Files {
  const { dir } = place
  const hosts: string[] = []
  const suffixes: string[] = []
  const maps: Record<PathMatch['type'], string[]> = { Exact: [], Prefix: [], Regex: [] }
  const choices: string[] = []
  let groupCount = 0
  let id = 0
  for (const [at, mine] of Map.groupBy(
    rules.filter(r => r.port !== undefined),
    r => `${r.host}|${r.secure ? 's' : 'p'}${r.port}`,
  ))
    addHost(mine[0]!.host, [at.slice(at.lastIndexOf('|') + 1)], mine)
  for (const [host, all] of Map.groupBy(
    rules.filter(r => r.port === undefined),
    r => r.host,
  )) {
    // Over TLS and without it a host is another one, where the rules are.
    const own = (secure: boolean): Rule[] => all.filter(r => r.secure === undefined || r.secure === secure)
    const both = all.every(r => r.secure === undefined)
    for (const [schemes, mine] of both ? [['ps', all] as const] : [['p', own(false)] as const, ['s', own(true)] as const])
      if (mine.length > 0) addHost(host, [...schemes], mine)
  }
  function addHost(host: string, schemes: string[], own: readonly Rule[]): void {
    const key = `h${++id}`
    for (const scheme of schemes)
      if (host.startsWith('**.')) suffixes.push(`${host.slice(2)}|${scheme} ${key}`)
      else hosts.push(`${host}|${scheme} ${key}`)
    const groups = groupsOf(own)
    for (const group of groups) {
      const list = candidates(group, groups)
      const plain = list[0]!.conditions.length === 0 && list[0]!.targets.length <= 1
      const name = plain ? single(list[0]!) : `g${++groupCount}`
      if (!plain) choices.push(...list.flatMap(rule => choose(name, rule)))
      const { type, value } = group.path
      if (type === 'Regex') maps.Regex.push(`(?i)^${key}\\|${value} ${name}`)
      else maps[type].push(`${key}|${type === 'Prefix' ? withSlash(value) : value} ${name}`)
    }
  }
  const texts = new Map<string, string>([
    ['hosts.map', lines(hosts)],
    // The first that fits is taken.
    ['suffixes.map', lines(suffixes.sort((a, b) => b.length - a.length))],
    ['exact.map', lines(maps.Exact)],
    ['prefix.map', lines(maps.Prefix)],
    ['regex.map', lines(maps.Regex)],
  ])
  const list: string[] = [`${dir}/certs/default.pem`]
  for (const [file, all] of certificates) {
    texts.set(`certs/${file}`, all[0]!.pem)
    const names = all.flatMap(c => c.hosts)
    list.push(`${dir}/certs/${file}${all.some(c => c.hosts.length === 0) ? '' : ` ${[...new Set(names)].join(' ')}`}`)
  }
  texts.set('certs.list', lines(list))
  const tcp = streamSections(streams, place, listening)
  for (const [name, text] of tcp.texts) texts.set(name, text)
  const named = (all: readonly string[]): string[] => all.flatMap(l => l.match(/b_[0-9a-f]{16}/g) ?? [])
  const used = new Set(named([...choices, tcp.text, ...tcp.texts.values(), ...Object.values(maps).flat()]))
  // Those that get copies are named by the others' lines.
  for (const name of [...used]) for (const copy of named(sections.get(name)?.target.lines ?? [])) used.add(copy)
  const external = [...used].some(name => sections.get(name)?.target.external !== undefined)
  const mirrors = [...used].some(name => sections.get(name)?.target.mirrors?.length)
  if (mirrors) texts.set(mirrorFile, mirrorScript)
  const backends = [...sections].filter(([name]) => used.has(name)).sort(([a], [b]) => (a < b ? -1 : 1))
  const has = {
    exact: maps.Exact.length > 0,
    regex: maps.Regex.length > 0,
    wildcards: hosts.some(h => h.startsWith('*.')),
    suffixes: suffixes.length > 0,
    any: hosts.some(h => h.startsWith('|')),
  }
  const head = frontend(place, choices, { listening, inner: tcp.inner, mirrors, external, maps: has }) + tcp.text
  texts.set('haproxy.cfg', head + backends.map(([name, s]) => backend(name, s)).join(''))
  const structure = hash(
    JSON.stringify([head, backends.map(([name, s]) => [name, s.slots.length]), [...texts].filter(([f]) => f !== 'haproxy.cfg')]),
  )
  return { texts, structure }
}

const lines = (all: readonly string[]): string => all.map(l => `${l}\n`).join('')
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

/** What the maps have, so that nothing is asked of one that is empty: each step of a request shows in how many there can be. */
interface Maps {
  exact: boolean
  regex: boolean
  /** Hosts with a wildcard for one label, for any number of them, and rules for every host. */
  wildcards: boolean
  suffixes: boolean
  any: boolean
}
/** Variables in the order that they are set in, up to `txn.r`, the backend or group of a request. */
function lookUps(dir: string, { exact, regex, wildcards, suffixes, any }: Maps): string[] {
  const [noHost, noRule] = ['if !{ var(txn.h) -m found }', 'if !{ var(txn.r) -m found }']
  const exactly = `(txn.r) var(txn.key),map_str(${dir}/exact.map)`
  const prefix = `(txn.r) var(txn.key),concat(/),map_beg(${dir}/prefix.map)`
  const [name, host] = ['req.hdr(host),field(1,:),lower,concat(,txn.scheme)', `map_str(${dir}/hosts.map)`]
  const byHost =
    wildcards || suffixes
      ? [
          `(txn.name) ${name}`,
          `(txn.h) var(txn.name),${host}`,
          ...(wildcards ? [`(txn.h) 'var(txn.name),regsub("^[^.]*","*"),${host}' ${noHost}`] : []),
          ...(suffixes ? [`(txn.h) var(txn.name),map_end(${dir}/suffixes.map) ${noHost}`] : []),
        ]
      : [`(txn.h) ${name},${host}`]
  if (!exact && !regex && !any) return [...byHost, '(txn.path) path', `(txn.r) var(txn.h),concat(|,txn.path,/),map_beg(${dir}/prefix.map)`]
  return [
    ...byHost,
    ...(any ? [`(txn.h) var(txn.scheme),${host} ${noHost}`] : []),
    '(txn.path) path',
    '(txn.key) var(txn.h),concat(|,txn.path)',
    ...(exact ? [exactly] : []),
    ...(regex ? [`(txn.r) var(txn.key),map_reg(${dir}/regex.map)${exact ? ` ${noRule}` : ''}`] : []),
    `${prefix}${exact || regex ? ` ${noRule}` : ''}`,
    // What no rule of its host takes goes to those for every host.
    ...(any
      ? [
          `(txn.any) var(txn.scheme),${host} ${noRule}`,
          `(txn.key) var(txn.any),concat(|,txn.path) ${noRule}`,
          ...(exact ? [`${exactly} ${noRule}`] : []),
          `${prefix} ${noRule}`,
        ]
      : []),
  ]
}

interface Binds {
  listening: readonly Listening[]
  /** Ports whose connections come by another frontend, which looks for the client's name first. */
  inner: ReadonlySet<number>
  mirrors: boolean
  external: boolean
  maps: Maps
}
function frontend(place: Place, choices: readonly string[], { listening, inner, mirrors, external, maps }: Binds): string {
  const { dir, ports } = place
  const tls = `ssl crt-list ${dir}/certs.list alpn h2,http/1.1`
  const bindHTTPS = (port: number): string =>
    inner.has(port) ? `bind unix@${dir}/https_${port}.sock accept-proxy ${tls}` : `bind :${innerPort(place, port)} ${tls}`
  const more = listening.map(({ port, protocol }) => (protocol === 'HTTP' ? `bind :${innerPort(place, port)}` : bindHTTPS(port)))
  const own = listening.map(({ port }) => `{ dst_port ${innerPort(place, port)} }`)
  return `# Written by ingress-controller.
global
  stats socket ${dir}/admin.sock mode 600 level admin
  ssl-default-bind-options ssl-min-ver TLSv1.2
  hard-stop-after 120s
${mirrors ? `  lua-load ${dir}/${mirrorFile}\n` : ''}  log stdout format raw local0 notice

defaults
  mode http
  timeout connect 5s
  timeout http-request 10s
  timeout http-keep-alive 75s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
  timeout queue 5s
  timeout client-fin 5s
  # With each request a buffer (16 kB) is copied, for when it has to be sent again.
  retries 3
  option redispatch 1
  retry-on conn-failure empty-response
  option http-keep-alive
  # Workers that end answer what comes by the connections that they have.
  option idle-close-on-response
  option dontlognull
  http-reuse safe
  default-server max-reuse 1000000 pool-purge-delay 5s

${external ? 'resolvers names\n  parse-resolv-conf\n  accepted_payload_size 1232\n  hold valid 10s\n\n' : ''}frontend health
  bind :${ports.health}
  monitor-uri /healthz
  http-request use-service prometheus-exporter if { path /metrics }

frontend ingress
  bind :${ports.http}
  ${[bindHTTPS(443), ...more].join('\n  ')}
  http-request deny deny_status 400 if { path_sub /../ }
  http-request disable-l7-retry unless METH_GET or { method HEAD OPTIONS PUT DELETE TRACE }
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Real-IP %[src]
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
  http-request set-header X-Forwarded-Port %[ssl_fc,iif(443,80)]
${listening
  .map(
    ({ port }, i) =>
      `  http-request set-header X-Forwarded-Port ${port} if ${own[i]}\n  http-request set-var(${listenerPort}) str(:${port}) if ${own[i]}\n`,
  )
  .join('')}  http-request set-var(txn.scheme) ssl_fc,iif(|s,|p)
${listening.map(({ port, protocol }, i) => `  http-request set-var(txn.scheme) str(|${protocol === 'HTTP' ? 'p' : 's'}${port}) if ${own[i]}\n`).join('')}${lines(lookUps(dir, maps).map(l => `  http-request set-var${l}`))}${choices.map(l => `  ${l}\n`).join('')}  use_backend %[var(txn.r)] if { var(txn.r) -m found }
  default_backend nothing

backend nothing
  http-request return status 404 content-type text/plain string "default backend - 404\\n"
backend unavailable
  http-request return status 503 content-type text/plain string "no backend\\n"
`
}

const backend = (name: string, { target, slots }: BackendSection): string => `
backend ${name}
${target.lines.map(l => `  ${l}\n`).join('')}${target.external ? `  server external ${target.external} ${target.serverOptions} resolvers names init-addr none\n` : ''}${slots
  .map((at, n) => `  server s${n + 1} ${at || noAddress} ${target.serverOptions}${at ? '' : ' disabled'}\n`)
  .join('')}`
