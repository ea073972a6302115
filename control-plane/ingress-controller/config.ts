/** HAProxy's files for a routing: its maps, lists of certificates, frontends, and a backend for each target. */
import { createHash } from 'node:crypto'
import { frontendText, type Frontend } from './frontends.ts'
import { emptyTable, mapText, routingMaps, type Table } from './maps.ts'
import { listenerMaps } from './misdirected.ts'
import { mirrorFile, mirrorScript } from './mirror.ts'
import type { Certificate, Listening, Routing, Target } from './model.ts'
import { streamSections } from './streams.ts'

/** Where the proxy's files and sockets are, and the ports of Ingresses and health checks. */
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
const noAddress = '127.0.0.1:1'

/** The list of certificates of a port of a Gateway, or of Ingresses: each with the names that it is for. */
export const certificateList = (at: number | undefined): string => (at === undefined ? 'certs.list' : `certs_${at}.list`)
function listText(dir: string, certificates: ReadonlyMap<string, readonly Certificate[]>, at: number | undefined): string {
  const lines = [...certificates].flatMap(([file, all]) => {
    const own = all.filter(c => c.at === at)
    const names = own.some(c => c.hosts.length === 0) ? [] : [...new Set(own.flatMap(c => c.hosts))]
    return own.length > 0 ? [[`${dir}/certs/${file}`, ...names].join(' ')] : []
  })
  return mapText([`${dir}/certs/default.pem`, ...lines])
}

/** The frontends of Ingresses and of each port of a Gateway. `behind`: ports whose connections come by another frontend, over a socket. */
function frontendsOf(
  { dir, ports }: Place,
  listening: readonly Listening[],
  behind: ReadonlySet<number>,
  tables: ReadonlyMap<number | undefined, Table>,
): Frontend[] {
  const tls = (at?: number): string => `ssl crt-list ${dir}/${certificateList(at)} alpn h2,http/1.1`
  const tableOf = (at?: number): Table => tables.get(at) ?? emptyTable()
  return [
    {
      name: 'ingress',
      binds: [`:${ports.http}`, `:${ports.https} ${tls()}`],
      scheme: 'ssl_fc,iif(|s,|p)',
      port: '%[ssl_fc,iif(443,80)]',
      usual: true,
      table: tableOf(),
      guarded: false,
    },
    ...listening.map(({ at, port, secure, hosts }) => ({
      name: `at_${at}`,
      binds: [`${behind.has(at) ? `unix@${dir}/https_${at}.sock accept-proxy` : `:${at}`}${secure ? ` ${tls(at)}` : ''}`],
      scheme: `str(|${at})`,
      port: String(port),
      usual: port === (secure ? 443 : 80),
      table: tableOf(at),
      guarded: hosts.length > 1,
    })),
  ]
}

/** The proxy's files for a routing, and for its certificates by file name. `sections` are the backends of all its targets by their names. */
export function render(
  { rules, streams = [], listening = [] }: Pick<Routing, 'rules' | 'streams' | 'listening'>,
  certificates: ReadonlyMap<string, readonly Certificate[]>,
  sections: ReadonlyMap<string, BackendSection>,
  place: Place,
): Files {
  const { dir } = place
  const { texts, tables } = routingMaps(rules)
  for (const [file, all] of certificates) texts.set(`certs/${file}`, all[0]!.pem)
  const secure = [...listening.filter(l => l.secure).map(l => l.at), ...streams.filter(s => s.ends).map(s => s.at)]
  for (const at of [undefined, ...new Set(secure)]) texts.set(certificateList(at), listText(dir, certificates, at))
  for (const [name, text] of listenerMaps(listening)) texts.set(name, text)
  const tcp = streamSections(streams, dir, listening)
  for (const [name, text] of tcp.texts) texts.set(name, text)
  const frontends = frontendsOf(place, listening, tcp.ports, tables)
  const named = (all: Iterable<string>): string[] => [...all].flatMap(l => l.match(/b_[0-9a-f]{16}/g) ?? [])
  const used = new Set(named([...frontends.flatMap(f => f.table.choices), tcp.text, ...texts.values()]))
  // Those that get copies are named by the others' lines.
  for (const name of [...used]) for (const copy of named(sections.get(name)?.target.lines ?? [])) used.add(copy)
  const external = [...used].some(name => sections.get(name)?.target.external !== undefined)
  const mirrors = [...used].some(name => sections.get(name)?.target.mirrors?.length)
  if (mirrors) texts.set(mirrorFile, mirrorScript)
  const backends = [...sections].filter(([name]) => used.has(name)).sort(([a], [b]) => (a < b ? -1 : 1))
  const head = [headText(place, { mirrors, external }), ...frontends.map(f => frontendText(dir, f)), tcp.text].join('')
  texts.set('haproxy.cfg', head + backends.map(([name, s]) => backendText(name, s)).join(''))
  const structure = JSON.stringify([
    head,
    backends.map(([name, s]) => [name, s.slots.length]),
    [...texts].filter(([f]) => f !== 'haproxy.cfg'),
  ])
  return { texts, structure: createHash('sha256').update(structure).digest('hex').slice(0, 16) }
}

const headText = (
  { dir, ports }: Place,
  { mirrors, external }: { mirrors: boolean; external: boolean },
): string => `# Written by ingress-controller.
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

backend nothing
  http-request return status 404 content-type text/plain string "default backend - 404\\n"
backend unavailable
  http-request return status 503 content-type text/plain string "no backend\\n"
`

const backendText = (name: string, { target, slots }: BackendSection): string => `
backend ${name}
${target.lines.map(l => `  ${l}\n`).join('')}${target.external ? `  server external ${target.external} ${target.serverOptions} resolvers names init-addr none\n` : ''}${slots
  .map((at, n) => `  server s${n + 1} ${at || noAddress} ${target.serverOptions}${at ? '' : ' disabled'}\n`)
  .join('')}`
