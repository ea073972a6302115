/**
 * The CDI devices of a node: what the files of its directories say, read when a container asks. A directory's devices come before those of
 * the same name in the directories before it; two in one directory are nobody's.
 */
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from '#shared/component/log.ts'
import { cdiSpec, joinEdits, type CdiSpec, type ContainerEdits } from './spec.ts'

/** No device's file is longer. */
const maxBytes = 4 << 20
/** More files than any node has. */
const maxFiles = 5_000

/** Where devices are described: by the machine's administrator, by programs of the machine, and by drivers that run in the node's pods. */
export const cdiDirectories = (rootDir: string): string[] => ['/etc/cdi', '/var/run/cdi', join(rootDir, 'cdi')]

interface Found {
  readonly spec: CdiSpec
  readonly edits: ContainerEdits
}

async function readSpec(path: string): Promise<CdiSpec> {
  if (statSync(path).size > maxBytes) throw new Error(`larger than ${maxBytes} bytes`)
  const text = readFileSync(path, 'utf8')
  // Nodes without such devices need no parser of YAML.
  return cdiSpec(path.endsWith('.json') ? JSON.parse(text) : (await import('yaml')).parse(text))
}

async function devicesIn(directory: string, log: Logger): Promise<Map<string, Found | 'conflict'>> {
  const found = new Map<string, Found | 'conflict'>()
  let names: string[] = []
  try {
    names = readdirSync(directory).filter(name => /\.(json|yaml)$/.test(name) && !name.startsWith('.'))
  } catch {
    // There is none.
  }
  for (const name of names.sort().slice(0, maxFiles)) {
    const path = join(directory, name)
    try {
      const spec = await readSpec(path)
      for (const device of spec.devices) {
        const id = `${spec.kind}=${device.name}`
        found.set(id, found.has(id) ? 'conflict' : { spec, edits: device.containerEdits })
      }
    } catch (e) {
      log.warn({ path, err: (e as Error).message }, 'a file of CDI devices is not read')
    }
  }
  return found
}

/** What a container gets with devices. Rejects with an Error that names those that are nowhere. */
export async function cdiEdits(ids: readonly string[], directories: readonly string[], log: Logger): Promise<ContainerEdits> {
  const all = new Map<string, Found | 'conflict'>()
  for (const directory of directories) for (const [id, found] of await devicesIn(directory, log)) all.set(id, found)
  const devices = ids.map(id => all.get(id))
  const missing = ids.filter((_, i) => devices[i] === undefined || devices[i] === 'conflict')
  if (missing.length > 0) throw new Error(`CDI device injection failed: unresolvable CDI devices ${missing.join(', ')}`)
  const found = devices as Found[]
  // What a file says of all of its devices counts once.
  const common = [...new Set(found.map(f => f.spec))].map(spec => spec.containerEdits)
  return joinEdits([...common, ...found.map(f => f.edits)])
}
