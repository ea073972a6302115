/** Routes to the pods of other nodes, through those nodes' addresses. */
import { ipBatch, ipJson } from '#shared/linux/ip.ts'

/** Marks our routes in the kernel's table: a number that no routing daemon uses. */
const PROTOCOL = '120'

/**
 * Makes the kernel's table hold exactly these routes of ours: pod CIDR of another node to its IP. Changes only what differs; rejects when
 * some could not be set, the others are.
 */
export async function setRoutes(routes: ReadonlyMap<string, string>): Promise<void> {
  const present = new Map(
    (await ipJson<{ dst: string; gateway?: string }>(['-4', 'route', 'show', 'proto', PROTOCOL])).map(r => [r.dst, r.gateway]),
  )
  const lines = [...routes]
    .filter(([cidr, node]) => present.get(cidr) !== node)
    .map(([cidr, node]) => `route replace ${cidr} via ${node} proto ${PROTOCOL}`)
  for (const cidr of present.keys()) if (!routes.has(cidr)) lines.push(`route del ${cidr} proto ${PROTOCOL}`)
  await ipBatch(lines, { force: true })
}
