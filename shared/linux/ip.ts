/** iproute2 in batches: one process for many changes. */
import { readFile } from 'node:fs/promises'
import type { IPFamily } from '#shared/machinery/ip.ts'
import { run } from './run.ts'

/**
 * Runs lines of `ip` commands (without the leading `ip`) in one process. Stops at the first that fails, unless `force`.
 * `namespace` is a name below /run/netns; default is the network namespace we live in. `family` is that of lines which do not say it
 * themselves, IPv4 by default.
 */
export async function ipBatch(
  lines: readonly string[],
  options: { namespace?: string; force?: boolean; timeoutMs?: number; family?: IPFamily } = {},
): Promise<void> {
  if (lines.length === 0) return
  const args = [
    ...(options.family === 'IPv6' ? ['-6'] : []),
    ...(options.namespace ? ['-n', options.namespace] : []),
    ...(options.force ? ['-force'] : []),
  ]
  await run('ip', [...args, '-batch', '-'], { input: lines.join('\n') + '\n', timeoutMs: options.timeoutMs })
}

/** `ip -json <args>`, parsed; an empty answer is an empty list. */
export async function ipJson<T>(args: readonly string[]): Promise<T[]> {
  const text = await run('ip', ['-json', ...args])
  return text.trim() === '' ? [] : (JSON.parse(text) as T[])
}

/** The names of the links in the network namespace we live in; from the kernel's table, without a process. */
export async function linkNames(): Promise<Set<string>> {
  const lines = (await readFile('/proc/self/net/dev', 'utf8')).split('\n')
  return new Set(lines.filter(l => l.includes(':')).map(l => l.slice(0, l.indexOf(':')).trim()))
}

/**
 * The hardware address for a bridge that has this IPv4 address. Left to itself a bridge takes the lowest one of its ports: when a port
 * comes or goes it changes, and whoever knew the former one sends into nowhere until its neighbour table forgets.
 */
export const hardwareAddress = (ip: string): string =>
  ['0a', '58', ...ip.split('.').map(n => Number(n).toString(16).padStart(2, '0'))].join(':')
