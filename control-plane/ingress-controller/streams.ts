/** TLS that is handed on by the name that the client says, before or after it ends here: HAProxy's frontends in mode tcp. */
import { certificateList } from './config.ts'
import { backendName } from './endpoints.ts'
import { mapText, suffixText } from './maps.ts'
import type { Listening, Stream, Target } from './model.ts'

export interface StreamSections {
  text: string
  /** Maps by file name. */
  texts: Map<string, string>
  /** The ports that are these frontends': HTTPS there comes from them, for names that no stream has. */
  ports: Set<number>
}

const hostsFile = 'streams.map'
const suffixesFile = 'streamsuffixes.map'

/** `listening` says where HTTPS is served, too. */
export function streamSections(streams: readonly Stream[], dir: string, listening: readonly Listening[]): StreamSections {
  const ports = new Set(streams.map(s => s.at))
  const hosts: string[] = []
  const suffixes: string[] = []
  const choices: string[] = []
  const seen = new Set<string>()
  let groups = 0
  const add = (host: string, key: string, name: string): void => {
    if (host.startsWith('**.')) suffixes.push(`${host.slice(2)}|${key} ${name}`)
    else hosts.push(`${host}|${key} ${name}`)
  }
  // Of two that want the same name the first has it.
  for (const { at, host, ends, targets } of streams) {
    if (seen.has(`${host}|${at}`)) continue
    seen.add(`${host}|${at}`)
    const able = targets.filter(t => t.weight > 0)
    const name = able.length === 1 ? backendName(able[0]!) : able.length === 0 ? 'nobody' : `t${++groups}`
    if (able.length > 1) choices.push(...draws(name, able))
    if (ends) {
      add(host, String(at), `ending_${at}`)
      add(host, `e${at}`, name)
    } else add(host, String(at), name)
  }
  const chosen = (name: string): string[] => [
    `set-var(sess.name) ${name}`,
    `set-var(sess.t) var(sess.name),map_str(${dir}/${hostsFile})`,
    `set-var(sess.t) var(sess.name),map_end(${dir}/${suffixesFile}) if !{ var(sess.t) -m found }`,
    // One for every name.
    `set-var(sess.t) var(sess.port),map_str(${dir}/${hostsFile}) if !{ var(sess.t) -m found }`,
    ...choices,
  ]
  const isHTTPS = (at: number): boolean => listening.some(l => l.at === at && l.secure)
  const frontend = (at: number): string => `
frontend tls_${at}
  mode tcp
  bind :${at}
  tcp-request inspect-delay 5s
  tcp-request content reject unless { req.ssl_hello_type 1 }
  tcp-request content set-var(sess.port) str(|${at})
${chosen(`req.ssl_sni,lower,concat(,sess.port)`)
  .map(l => `  tcp-request content ${l}\n`)
  .join('')}  use_backend %[var(sess.t)] if { var(sess.t) -m found }
  default_backend ${isHTTPS(at) ? `https_${at}` : 'nobody'}
${isHTTPS(at) ? socket('https', at) : ''}`
  const socket = (what: string, at: number): string => `
backend ${what}_${at}
  mode tcp
  server here unix@${dir}/${what}_${at}.sock send-proxy-v2
`
  const ending = (at: number): string => `${socket('ending', at)}
frontend ended_${at}
  mode tcp
  bind unix@${dir}/ending_${at}.sock accept-proxy ssl crt-list ${dir}/${certificateList(at)}
  tcp-request content set-var(sess.port) str(|e${at})
${chosen('ssl_fc_sni,lower,concat(,sess.port)')
  .map(l => `  tcp-request content ${l}\n`)
  .join('')}  use_backend %[var(sess.t)] if { var(sess.t) -m found }
  default_backend nobody
`
  if (streams.length === 0) return { text: '', texts: new Map(), ports }
  const ended = new Set(streams.filter(s => s.ends).map(s => s.at))
  return {
    ports,
    text: `
backend nobody
  mode tcp
${[...ports].map(frontend).join('')}${[...ended].map(ending).join('')}`,
    texts: new Map([
      [hostsFile, mapText(hosts)],
      [suffixesFile, suffixText(suffixes)],
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
