/** HAProxy's frontends: where it listens, what it tells servers of clients, and the way of a request to its backend. */
import type { Table } from './maps.ts'
import { misdirectedLines } from './misdirected.ts'
import { listenerPort } from './model.ts'

export interface Frontend {
  name: string
  /** `bind` lines without that word. */
  binds: readonly string[]
  /** How the scheme of a key of the maps is made: a sample expression. */
  scheme: string
  /** What servers are told of the port, as HAProxy's format; `usual` when it is that of its scheme. */
  port: string
  usual: boolean
  table: Table
  /** Whether its listeners are in the maps. */
  guarded: boolean
}

/** Variables in the order that they are set in, up to `txn.r`, the backend or group of a request. */
function lookUps(dir: string, { exact, regex, wildcards, suffixes, any }: Table): string[] {
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

export const frontendText = (dir: string, { name, binds, scheme, port, usual, table, guarded }: Frontend): string => `
frontend ${name}
${binds.map(b => `  bind ${b}\n`).join('')}  http-request deny deny_status 400 if { path_sub /../ }
  http-request disable-l7-retry unless METH_GET or { method HEAD OPTIONS PUT DELETE TRACE }
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Real-IP %[src]
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
  http-request set-header X-Forwarded-Port ${port}
${usual ? '' : `  http-request set-var(${listenerPort}) str(:${port})\n`}  http-request set-var(txn.scheme) ${scheme}
${guarded ? misdirectedLines(dir) : ''}${[...lookUps(dir, table).map(l => `http-request set-var${l}`), ...table.choices].map(l => `  ${l}\n`).join('')}\
  use_backend %[var(txn.r)] if { var(txn.r) -m found }
  default_backend nothing
`
