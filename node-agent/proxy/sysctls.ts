/** Connection tracking's settings as upstream's kube-proxy makes them by default (cmd/kube-proxy, conntrack.*). */
import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import type { Logger } from '#shared/component/log.ts'

const base = '/proc/sys/net/netfilter'
const maxPerCore = 32_768
const minMax = 131_072

/** Seconds that a connection without packets is remembered: an established one, and one that a side has closed and the other not. */
const timeouts = { nf_conntrack_tcp_timeout_established: 86_400, nf_conntrack_tcp_timeout_close_wait: 3_600 }

/** Of the node's network; how many connections it may have is the machine's to say, and raised where this process may. */
export function setConntrackSysctls(log: Logger): void {
  const max = Math.max(minMax, maxPerCore * availableParallelism())
  const wanted = [...Object.entries(timeouts), ...(Number(read('nf_conntrack_max')) < max ? [['nf_conntrack_max', max] as const] : [])]
  for (const [name, value] of wanted) {
    if (read(name) === String(value)) continue
    try {
      writeFileSync(`${base}/${name}`, String(value))
    } catch (e) {
      log.info(
        { sysctl: `net.netfilter.${name}`, is: read(name), wanted: value, err: (e as Error).message },
        'connection tracking stays as it is',
      )
    }
  }
}

function read(name: string): string {
  try {
    return readFileSync(`${base}/${name}`, 'utf8').trim()
  } catch {
    return ''
  }
}
