/** TLS that is handed on by the name that the client says, before or after it ends here: HAProxy's frontends in mode tcp. */
import { backendName, innerPort, type Place } from './config.ts'
import type { Listening, Stream, Target } from './model.ts'

export interface StreamSections {
  text: string
  /** Maps by file name. */
  texts: Map<string, string>
  /** The ports that are these frontends': HTTPS there comes from them, for names that no stream has. */
  inner: Set<number>
}

const hostsFile = 'streams.map'
const suffixesFile = 'streamsuffixes.map'
const lines = (all: readonly string[]): string => all.map(l => `${l}\n`).join('')

/** `listening` names the ports beside 443 that HTTPS is served at. */
export function streamSections(streams: readonly Stream[], place: Place, listening: readonly Listening[]): StreamSections {
  const { dir } = place
  const inner = new Set(streams.map(s => s.port))
  const hosts: string[] = []
  const suffixes: string[] = []
  const choices: string[] = []
  const seen = new Set<string>()
  let groups = 0
  const add = (host: string, at: string, name: string): void => {
    if (host.startsWith('**.')) suffixes.push(`${host.slice(2)}|${at} ${name}`)
    else hosts.push(`${host}|${at} ${name}`)
  }
  // Of two that want the same name the first has it.
  for (const { port, host, ends, targets } of streams) {
    if (seen.has(`${host}|${port}`)) continue
    seen.add(`${host}|${port}`)
    const able = targets.filter(t => t.weight > 0)
    const name = able.length === 1 ? backendName(able[0]!) : able.length === 0 ? 'nobody' : `t${++groups}`
    if (able.length > 1) choices.push(...draws(name, able))
    if (ends) {
      add(host, String(port), `ending_${port}`)
      add(host, `e${port}`, name)
    } else add(host, String(port), name)
  }
  const chosen = (name: string): string[] => [
    `set-var(sess.name) ${name}`,
    `set-var(sess.t) var(sess.name),map_str(${dir}/${hostsFile})`,
    `set-var(sess.t) var(sess.name),map_end(${dir}/${suffixesFile}) if !{ var(sess.t) -m found }`,
    // One for every name.
    `set-var(sess.t) var(sess.port),map_str(${dir}/${hostsFile}) if !{ var(sess.t) -m found }`,
    ...choices,
  ]
  const isHTTPS = (port: number): boolean => port === 443 || listening.some(l => l.port === port && l.protocol === 'HTTPS')
  const frontend = (port: number): string => `
frontend tls_${port}
  mode tcp
  bind :${innerPort(place, port)}
  tcp-request inspect-delay 5s
  tcp-request content reject unless { req.ssl_hello_type 1 }
  tcp-request content set-var(sess.port) str(|${port})
${chosen(`req.ssl_sni,lower,concat(,sess.port)`)
  .map(l => `  tcp-request content ${l}\n`)
  .join('')}  use_backend %[var(sess.t)] if { var(sess.t) -m found }
  default_backend ${isHTTPS(port) ? `https_${port}` : 'nobody'}
${isHTTPS(port) ? socket('https', port) : ''}`
  const socket = (what: string, port: number): string => `
backend ${what}_${port}
  mode tcp
  server here unix@${dir}/${what}_${port}.sock send-proxy-v2
`
  const ending = (port: number): string => `${socket('ending', port)}
frontend ended_${port}
  mode tcp
  bind unix@${dir}/ending_${port}.sock accept-proxy ssl crt-list ${dir}/certs.list
  tcp-request content set-var(sess.port) str(|e${port})
${chosen('ssl_fc_sni,lower,concat(,sess.port)')
  .map(l => `  tcp-request content ${l}\n`)
  .join('')}  use_backend %[var(sess.t)] if { var(sess.t) -m found }
  default_backend nobody
`
  if (streams.length === 0) return { text: '', texts: new Map(), inner }
  const ended = new Set(streams.filter(s => s.ends).map(s => s.port))
  return {
    inner,
    text: `
backend nobody
  mode tcp
${[...inner].map(frontend).join('')}${[...ended].map(ending).join('')}`,
    texts: new Map([
      [hostsFile, lines(hosts)],
      [suffixesFile, lines(suffixes.sort((a, b) => b.length - a.length))],
    ]),
  }
}

/**
 * What sets the backend of a group, one target by its weight: the name of the group is replaced, so that the rest do not match any more.
 */
function draws(group: string, targets: readonly Target[]): string[] {
  let left = targets.reduce((sum, t) => sum + t.weight, 0)
  return targets.map(t => {
    const draw = t.weight === left ? '' : ` { rand(${left}) lt ${t.weight} }`
    left -= t.weight
    return `set-var(sess.t) str(${backendName(t)}) if { var(sess.t) -m str ${group} }${draw}`
  })
}
