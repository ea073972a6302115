/** Routes to the pods of other nodes, through those nodes' addresses or through their machines. */
import { run } from './run.ts'
import { hardwareAddress, ipBatch, ipJson } from './ip.ts'

export interface Hop {
  /** The address of the node, or of its machine. */
  readonly via: string
  /** The VXLAN link that carries packets to that machine; absent where it is a neighbour. */
  readonly vxlan?: string
}

/** Marks the routes of a node in the kernel's table: a number that no routing daemon uses. */
const nodeProtocol = '120'

export interface RouteOptions {
  protocol?: string
  /** The address that what starts here has, when it goes to another machine. */
  source?: string
}

const same = (a: Hop | undefined, b: Hop): boolean => a?.via === b.via && a.vxlan === b.vxlan

/**
 * Makes the kernel's table hold exactly these routes of ours, by range. Changes only what differs; rejects when some could not be set, the
 * others are. `vxlan` is the link that they may use: what it knows of machines is made to fit.
 */
export async function setRoutes(
  routes: ReadonlyMap<string, Hop>,
  { protocol = nodeProtocol, source }: RouteOptions = {},
  vxlan?: string,
): Promise<void> {
  const found = await ipJson<{ dst: string; gateway?: string; dev: string }>(['-4', 'route', 'show', 'proto', protocol])
  const present = new Map(
    found.map(r => [r.dst, { via: r.gateway ?? '', ...(r.dev === vxlan ? { vxlan: r.dev } : {}) } satisfies Hop] as const),
  )
  if (vxlan !== undefined) await setNeighbours(vxlan, new Set([...routes.values()].flatMap(h => (h.vxlan === vxlan ? [h.via] : []))))
  const from = source === undefined ? '' : ` src ${source}`
  const lines = [...routes]
    .filter(([range, hop]) => !same(present.get(range), hop))
    .map(([range, hop]) => {
      const link = hop.vxlan === undefined ? '' : ` dev ${hop.vxlan} onlink`
      return `route replace ${range} via ${hop.via}${link}${from} proto ${protocol}`
    })
  for (const range of present.keys()) if (!routes.has(range)) lines.push(`route del ${range} proto ${protocol}`)
  await ipBatch(lines, { force: true })
}

/**
 * Tells a VXLAN link of machines by their addresses, and of no others: where to send a frame, and that it need not ask. The hardware
 * address of a machine's end follows from its address.
 */
async function setNeighbours(link: string, machines: ReadonlySet<string>): Promise<void> {
  const known = new Set((await ipJson<{ dst: string }>(['-4', 'neigh', 'show', 'dev', link, 'nud', 'permanent'])).map(n => n.dst))
  const added = [...machines].filter(m => !known.has(m))
  const gone = [...known].filter(m => !machines.has(m))
  const batch = (lines: readonly string[]): Promise<unknown> =>
    lines.length === 0 ? Promise.resolve() : run('bridge', ['-force', '-batch', '-'], { input: `${lines.join('\n')}\n` })
  await batch([
    ...added.map(m => `fdb replace ${hardwareAddress(m)} dev ${link} dst ${m} self permanent`),
    ...gone.map(m => `fdb del ${hardwareAddress(m)} dev ${link} dst ${m} self`),
  ])
  await ipBatch(
    [
      ...added.map(m => `neigh replace ${m} lladdr ${hardwareAddress(m)} dev ${link} nud permanent`),
      ...gone.map(m => `neigh del ${m} dev ${link}`),
    ],
    { force: true },
  )
}
