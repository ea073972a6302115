/** Keeps the proxy in step with the routing: what changes in structure is reloaded, endpoints are told to the workers that run. */
import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Service } from '#shared/api/core/service.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import type { Logger } from '#shared/component/log.ts'
import { render, type BackendSection, type Place } from './config.ts'
import { backendName, endpointsOf, place as inSlots, slotCount } from './endpoints.ts'
import { check, reload, setServers, writeFiles, type SlotChange } from './haproxy.ts'
import type { Certificate, Routing } from './model.ts'

export interface Backends {
  service(key: string): Service | undefined
  slices(key: string): EndpointSlice[]
}

/** By file name: one file a certificate, whoever names it. */
function certificateFiles(certificates: readonly Certificate[]): Map<string, Certificate[]> {
  const files = new Map<string, Certificate[]>()
  for (const c of certificates) {
    const name = `${createHash('sha256').update(c.secret).digest('hex').slice(0, 16)}.pem`
    files.set(name, [...(files.get(name) ?? []), c])
  }
  return files
}

/** `certs/default.pem` must be there. */
export async function openProxy(place: Place, backends: Backends, log: Logger) {
  const { dir } = place
  const structureFile = path.join(dir, 'structure')
  /** What the workers run with; after a restart of this process unknown but for the structure. */
  let running = await readFile(structureFile, 'utf8').catch(() => '')
  let applied = new Map<string, string[]>()
  let fresh = true

  /** Slots of every target, as they were where that is enough. */
  function sections(routing: Routing): Map<string, BackendSection> {
    const all = new Map<string, BackendSection>()
    for (const { targets } of [...routing.rules, ...(routing.streams ?? [])])
      for (const target of targets.flatMap(t => [t, ...(t.mirrors ?? [])])) {
        const name = backendName(target)
        if (all.has(name)) continue
        if (!target.service) {
          all.set(name, { target, slots: [] })
          continue
        }
        const { key, port } = target.service
        const found = endpointsOf(backends.service(key), port, backends.slices(key))
        const before = applied.get(name)
        const slots =
          (before && inSlots(found, before)) ??
          inSlots(
            found,
            Array.from({ length: slotCount(found.length) }, () => ''),
          )!
        all.set(name, { target, slots })
      }
    return all
  }

  /** One step; not to be called while another is under way. Rejects when the proxy could not be told, and is to be called again then. */
  return async function sync(routing: Routing): Promise<'reloaded' | 'changed' | 'same'> {
    const all = sections(routing)
    const { texts, structure } = render(routing, certificateFiles(routing.certificates), all, place)
    const slots = new Map([...all].map(([name, s]) => [name, s.slots]))
    if (structure !== running) {
      await writeFiles(dir, texts)
      await check(dir)
      await reload(dir)
      await writeFile(structureFile, structure)
      running = structure
      applied = slots
      fresh = false
      log.info({ backends: all.size, rules: routing.rules.length }, 'the proxy has a new configuration')
      return 'reloaded'
    }
    const changes: SlotChange[] = []
    for (const [name, now] of slots) {
      const before = applied.get(name)
      now.forEach((at, n) => {
        if (fresh || before?.[n] !== at) changes.push({ backend: name, slot: n + 1, at })
      })
    }
    if (changes.length === 0) return 'same'
    // One that is started meanwhile reads the files.
    await writeFiles(dir, texts)
    if (!(await setServers(dir, changes))) {
      // It may have read the files just before: it is told all once it is there.
      fresh = true
      throw new Error('HAProxy is not there to be told of endpoints')
    }
    applied = slots
    fresh = false
    return 'changed'
  }
}
