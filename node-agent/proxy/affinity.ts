/** Session affinity over a restart of the node-agent: the clients of the table that is there go into the one that takes its place. */
import { nftJson } from '#shared/linux/nft.ts'
import { TABLE, type Ruleset } from './ruleset.ts'

/** `nft -j`'s set: elements with a timeout of their own carry what is left of it, in seconds. */
interface AffinitySet {
  name: string
  elem?: { elem: { val: string; expires?: number } }[]
}

/** The script that makes the sets of `wanted` remember whom the kernel's table remembers now; empty when there is none. */
export async function keptAffinity(wanted: Ruleset): Promise<string> {
  if (wanted.affinity.size === 0) return ''
  // There is no table at the first start.
  const objects = await nftJson(['list', 'table', ...TABLE.split(' ')]).catch(() => [])
  const lines = objects.flatMap(o => {
    const { name, elem = [] } = (o['set'] ?? { name: '' }) as AffinitySet
    if (!wanted.affinity.has(name)) return []
    const clients = elem.flatMap(({ elem: { val, expires = 0 } }) => (expires > 0 ? [`${val} expires ${expires}s`] : []))
    return clients.length > 0 ? [`add element ${TABLE} ${name} { ${clients.join(', ')} }\n`] : []
  })
  return lines.join('')
}
