/** nftables: a script is one transaction, applied whole or not at all. */
import { run } from './run.ts'

/** Applies a script (the syntax of nft(8)); rejects with nft's own words, nothing is changed then. */
export async function nft(script: string, timeoutMs = 20_000): Promise<void> {
  if (script.trim() !== '') await run('nft', ['-f', '-'], { input: script, timeoutMs })
}

/** `nft -j list ...` as its list of objects. */
export async function nftJson(args: readonly string[]): Promise<Record<string, unknown>[]> {
  return (JSON.parse(await run('nft', ['-j', ...args], { timeoutMs: 20_000 })) as { nftables: Record<string, unknown>[] }).nftables
}
