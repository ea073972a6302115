/** nftables: a script is one transaction, applied whole or not at all. */
import type { IPFamily } from '#shared/machinery/ip.ts'
import { run } from './run.ts'

/** nft's words for a family: of its tables and of what it looks at in a packet, and of the type of its addresses. */
export const familyWords: Record<IPFamily, { ip: 'ip' | 'ip6'; address: 'ipv4_addr' | 'ipv6_addr' }> = {
  IPv4: { ip: 'ip', address: 'ipv4_addr' },
  IPv6: { ip: 'ip6', address: 'ipv6_addr' },
}

/** Applies a script (the syntax of nft(8)); rejects with nft's own words, nothing is changed then. */
export async function nft(script: string, timeoutMs = 20_000): Promise<void> {
  if (script.trim() !== '') await run('nft', ['-f', '-'], { input: script, timeoutMs })
}

/** `nft -j list ...` as its list of objects. */
export async function nftJson(args: readonly string[]): Promise<Record<string, unknown>[]> {
  return (JSON.parse(await run('nft', ['-j', ...args], { timeoutMs: 20_000 })) as { nftables: Record<string, unknown>[] }).nftables
}
