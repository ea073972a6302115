/**
 * Clients may ask by an open connection for other hosts that its certificate is for, too. What is for another listener than the
 * connection is answered with 421, so that they open one for it (RFC 9110, 15.5.20).
 */
import { mapText, suffixText } from './maps.ts'
import type { Listening } from './model.ts'

const listenersFile = 'listeners.map'
const suffixesFile = 'listenersuffixes.map'

/** Listeners by host name and port, where a port has several. */
export function listenerMaps(listening: readonly Listening[]): Map<string, string> {
  const exact: string[] = []
  const suffixes: string[] = []
  for (const { at, hosts } of listening.filter(l => l.hosts.length > 1))
    hosts.forEach((host, n) => {
      if (host.startsWith('**.')) suffixes.push(`${host.slice(2)}|${at} l${n}`)
      else exact.push(`${host}|${at} l${n}`)
    })
  return new Map([
    [listenersFile, mapText(exact)],
    [suffixesFile, suffixText(suffixes)],
  ])
}

/** Lines of a frontend whose variable `txn.scheme` is set. Clients that said no name are let be. */
export function misdirectedLines(dir: string): string {
  const listenerOf = (variable: string, name: string): string[] => [
    `http-request set-var(txn.name) ${name},lower,concat(,txn.scheme)`,
    `http-request set-var(${variable}) var(txn.name),map_str(${dir}/${listenersFile})`,
    `http-request set-var(${variable}) var(txn.name),map_end(${dir}/${suffixesFile}) if !{ var(${variable}) -m found }`,
    `http-request set-var(${variable}) var(txn.scheme),map_str(${dir}/${listenersFile}) if !{ var(${variable}) -m found }`,
  ]
  return [
    ...listenerOf('txn.said', 'ssl_fc_sni'),
    ...listenerOf('txn.meant', 'req.hdr(host),field(1,:)'),
    'http-request return status 421 if { ssl_fc_has_sni } { var(txn.said) -m found } { var(txn.meant) -m found } !{ var(txn.said),strcmp(txn.meant) eq 0 }',
  ]
    .map(l => `  ${l}\n`)
    .join('')
}
