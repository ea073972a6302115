/** CNI network configurations, as libcni reads them: one file a network, a list of plugins (`*.conflist`) or a single one. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'
import type { Logger } from '#shared/component/log.ts'

/** No configuration is longer. */
const maxBytes = 1 << 20

const name = z
  .string()
  .regex(/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/, 'must begin with a letter or digit and have nothing but those, ".", "_" and "-"')
/** The type is the name of a program: no path. */
const pluginSchema = z.looseObject({ type: name, capabilities: z.record(z.string(), z.boolean()).optional() })
const listSchema = z.object({
  cniVersion: z.string().max(20).default(''),
  name,
  plugins: z.array(pluginSchema).min(1, 'no plugins in list'),
  disableCheck: z.boolean().optional(),
  disableGC: z.boolean().optional(),
})
const singleSchema = pluginSchema.extend({ cniVersion: z.string().max(20).default(''), name })

export type PluginConfig = z.output<typeof pluginSchema>
/** A network: its plugins in the order in which they are added. */
export type NetworkConfig = z.output<typeof listSchema>

/** Reads a network; `fallback` is its name when it says none. Throws one line. */
export function parseNetwork(text: string, fallback?: string): NetworkConfig {
  if (text.length > maxBytes) throw new Error(`larger than ${maxBytes} bytes`)
  const json = JSON.parse(text) as Record<string, unknown> | null
  const named = fallback !== undefined && json && json['name'] === undefined ? { ...json, name: fallback } : json
  const read = json && 'plugins' in json ? listSchema.safeParse(named) : singleSchema.safeParse(named)
  if (!read.success) throw new Error(read.error.issues.map(i => `${i.path.join('.')}: ${i.message}`).join('; '))
  if ('plugins' in read.data) return read.data as NetworkConfig
  const { cniVersion, name, ...plugin } = read.data
  return { cniVersion, name, plugins: [plugin as PluginConfig] }
}

/** Whether a network's plugins speak a version of the specification, or a later one. */
export function speaks({ cniVersion }: Pick<NetworkConfig, 'cniVersion'>, wanted: readonly [number, number]): boolean {
  const [major = 0, minor = 0] = cniVersion.split('.').map(Number)
  return major > wanted[0] || (major === wanted[0] && minor >= wanted[1])
}

/** The files of places, which are directories or files themselves, in the order in which they count. */
function filesOf(places: readonly string[]): string[] {
  return places.flatMap(place => {
    const found = statSync(place, { throwIfNoEntry: false })
    if (!found?.isDirectory()) return found ? [place] : []
    const names = readdirSync(place).filter(file => /\.(conf|conflist|json)$/.test(file))
    return names.sort().map(file => join(place, file))
  })
}

/** The network that these places name first, or the one of that name; what cannot be read is passed over, and logged. */
export function findNetwork(places: readonly string[], log: Logger, wanted?: string): NetworkConfig | undefined {
  for (const file of filesOf(places)) {
    try {
      if (statSync(file).size > maxBytes) throw new Error(`larger than ${maxBytes} bytes`)
      const network = parseNetwork(readFileSync(file, 'utf8'))
      if (wanted === undefined || network.name === wanted) return network
    } catch (e) {
      log.warn({ file, err: (e as Error).message }, 'a CNI configuration is not read')
    }
  }
  return undefined
}
