/** Session affinity over a restart of the node-agent: the clients of the table that is there go into the one that takes its place. */
import { nftJson } from '#shared/linux/nft.ts'

/** `nft -j`'s set: elements with a timeout of their own carry what is left of it, in seconds. */
interface AffinitySet {
  name: string
  elem?: { elem: { val: string; expires?: number } }[]
}

/** The script that makes the sets of `table` named `wanted` remember whom the kernel's remember now; empty when there is none. */
export async function keptAffinity(table: string, wanted: ReadonlySet<string>): Promise<string> {
  if (wanted.size === 0) return ''
  // There is no table at the first start.
  const objects = await nftJson(['list', 'sets', 'table', ...table.split(' ')]).catch(() => [])
  const lines = objects.flatMap(o => {
    const { name, elem = [] } = (o['set'] ?? { name: '' }) as AffinitySet
    if (!wanted.has(name)) return []
    const clients = elem.flatMap(({ elem: { val, expires = 0 } }) => (expires > 0 ? [`${val} expires ${expires}s`] : []))
    return clients.length > 0 ? [`add element ${table} ${name} { ${clients.join(', ')} }\n`] : []
  })
  return lines.join('')
}
