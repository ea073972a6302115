/** Cluster IPs and node ports of Services: taken before a Service is written, kept or given back by how that ends. */
import type { Service } from '#shared/api/core/service.ts'
import { isHeadless, needsClusterIP, needsHealthCheck, needsNodePort } from '#shared/api/core/servicedefaults.ts'
import { validateClusterIPs } from '#shared/api/core/serviceipvalidation.ts'
import type { Logger } from '#shared/component/log.ts'
import { invalid, Path } from '#shared/machinery/field.ts'
import type { IPFamily } from '#shared/machinery/ip.ts'
import { internalError, invalidObject, type StatusError } from '#shared/machinery/status.ts'
import type { Registry, Table } from '../registry/registry.ts'
import type { Claim, Hooks } from '../objects/hooks.ts'
import { addresses, claim, nodePorts, release, type Holds, type Owner } from './claims.ts'
import { completeFamilies } from './families.ts'
import { candidates, type PortRange, type Range } from './ranges.ts'
import { readyRanges } from './servicecidrs.ts'

type Spec = Service['spec']
export const servicesTable: Table = { group: '', plural: 'services' }
const at = new Path('spec')

/** An address or a port, as the name of a claim. */
interface Held {
  readonly table: Table
  readonly name: string
}

/** What a Service holds: its addresses and its ports. */
export function heldBy(spec: Spec | undefined): Held[] {
  if (!spec) return []
  const held: Held[] = []
  if (needsClusterIP(spec) && !isHeadless(spec)) for (const ip of spec.clusterIPs ?? []) held.push({ table: addresses, name: ip })
  const ports = new Set<number>()
  if (needsNodePort(spec) || spec.type === 'LoadBalancer') for (const p of spec.ports ?? []) if (p.nodePort) ports.add(p.nodePort)
  if (needsHealthCheck(spec) && spec.healthCheckNodePort) ports.add(spec.healthCheckNodePort)
  for (const port of ports) held.push({ table: nodePorts, name: String(port) })
  return held
}

/** Whether the stored Service of that name holds it. */
export const holder =
  (registry: Registry): Holds =>
  (table, owner, name) =>
    heldBy((registry.get(servicesTable, owner.namespace, owner.name)?.object as Service | undefined)?.spec).some(
      h => h.table === table && h.name === name,
    )

export interface ServiceRanges {
  /** Of the cluster's addresses, the default one first; those that there are to take, ServiceCIDRs say. */
  readonly families: readonly IPFamily[]
  readonly ports: PortRange
}

/** The hooks of Services. */
export function serviceHooks(registry: Registry, ranges: ServiceRanges, log: Logger): Hooks {
  const allocations: Allocations = { registry, holds: holder(registry), log }
  return {
    async begin(object, old, dryRun) {
      const work = new Allocation(allocations, object as Service, old as Service | undefined, dryRun)
      try {
        await complete(work, ranges)
      } catch (e) {
        await work.release()
        throw e
      }
      return work
    },
    afterDelete: object => void releaseAll(allocations, heldBy((object as Service).spec), ownerOfService(object as Service)),
  }
}

/** What all allocations share. */
interface Allocations {
  readonly registry: Registry
  readonly holds: Holds
  readonly log: Logger
}

const ownerOfService = ({ metadata }: Service): Owner => ({ namespace: metadata.namespace ?? '', name: metadata.name ?? '' })

async function releaseAll({ registry, log }: Allocations, held: readonly Held[], owner: Owner): Promise<void> {
  const failed = (e: unknown): void =>
    log.warn({ err: e, service: `${owner.namespace}/${owner.name}` }, 'releasing addresses and ports failed; the repair will')
  await Promise.all(held.map(h => release(registry, h.table, h.name, owner).catch(failed)))
}

const refuse = (service: Service, ...errors: ReturnType<typeof invalid>[]): StatusError =>
  invalidObject('', 'Service', service.metadata.name ?? '', errors)

async function complete(work: Allocation, ranges: ServiceRanges): Promise<void> {
  const { service, old } = work
  const { spec } = service
  // What the rest relies on; the whole validation comes later.
  const wrong = validateClusterIPs(spec, old?.spec, at)
  if (wrong.length > 0) throw refuse(service, ...wrong)
  if (old && needsClusterIP(old.spec) && needsClusterIP(spec)) {
    // Who leaves them out of an update means no change.
    spec.ipFamilyPolicy ??= old.spec.ipFamilyPolicy
    if (!spec.ipFamilies?.length && old.spec.ipFamilies) spec.ipFamilies = [...old.spec.ipFamilies]
  }
  const families = completeFamilies(spec, ranges.families, old?.spec)
  if (families.length > 0) throw refuse(service, ...families)
  if (needsClusterIP(spec) && !isHeadless(spec)) await completeAddresses(work, service)
  if (needsNodePort(spec) || spec.type === 'LoadBalancer') await completeNodePorts(work, service, ranges.ports)
  if (needsHealthCheck(spec)) await completeHealthCheck(work, service, ranges.ports)
}

/** One address a family, in the order of ipFamilies. */
async function completeAddresses(work: Allocation, service: Service): Promise<void> {
  const { spec } = service
  const ips = [...(spec.clusterIPs ?? [])]
  for (const [i, family] of (spec.ipFamilies as IPFamily[]).entries()) {
    const given = ips[i] ?? ''
    if (given === '') {
      const ip = await work.anyOf(addresses, readyRanges(work.registry, family))
      if (ip === undefined) throw internalError('failed to allocate a serviceIP: range is full')
      ips[i] = ip
    } else if (!work.had(addresses, given)) {
      const fail = (why: string): StatusError =>
        refuse(service, invalid(at.child('clusterIPs'), spec.clusterIPs, `failed to allocate IP ${given}: ${why}`))
      if (!readyRanges(work.registry, family).some(r => r.contains(given)))
        throw fail('the provided network does not match the current range')
      if (!(await work.take(addresses, given))) throw fail('provided IP is already allocated')
    }
  }
  spec.clusterIPs = ips
  spec.clusterIP = ips[0]
}

async function completeNodePorts(work: Allocation, service: Service, range: PortRange): Promise<void> {
  const { spec } = service
  // One number may serve several protocols of one Service.
  const byPort = new Map<number, number>()
  const ports = spec.ports ?? []
  for (const [i, p] of ports.entries()) {
    if (!p.nodePort) continue
    byPort.set(p.port, p.nodePort)
    if (work.had(nodePorts, String(p.nodePort))) continue
    const fail = (why: string): StatusError => refuse(service, invalid(at.child('ports').index(i).child('nodePort'), p.nodePort, why))
    if (p.nodePort < range.first || p.nodePort > range.last)
      throw fail(`provided port is not in the valid range. The range of valid ports is ${range.first}-${range.last}`)
    if (!(await work.take(nodePorts, String(p.nodePort)))) throw fail('provided port is already allocated')
  }
  if (!needsNodePort(spec)) return
  for (const p of ports) {
    if (p.nodePort) continue
    const shared = byPort.get(p.port)
    if (shared !== undefined && !ports.some(o => o.nodePort === shared && o.protocol === p.protocol)) {
      p.nodePort = shared
      continue
    }
    const port = await work.anyOf(nodePorts, [range])
    if (port === undefined) throw internalError('failed to allocate a nodePort: range is full')
    p.nodePort = Number(port)
    byPort.set(p.port, p.nodePort)
  }
}

async function completeHealthCheck(work: Allocation, service: Service, range: PortRange): Promise<void> {
  const { spec } = service
  const given = spec.healthCheckNodePort
  if (!given) {
    const port = await work.anyOf(nodePorts, [range])
    if (port === undefined) throw internalError('failed to allocate a HealthCheck NodePort: range is full')
    spec.healthCheckNodePort = Number(port)
  } else if (!work.had(nodePorts, String(given)) && !(await work.take(nodePorts, String(given)))) {
    throw internalError(`failed to allocate requested HealthCheck NodePort ${given}: provided port is already allocated`)
  }
}

/** What one write of a Service takes. */
class Allocation implements Claim {
  readonly service: Service
  readonly old: Service | undefined
  readonly #shared: Allocations
  readonly #owner: Owner
  readonly #before: readonly Held[]
  readonly #dryRun: boolean
  readonly #taken: Held[] = []
  constructor(shared: Allocations, service: Service, old: Service | undefined, dryRun: boolean) {
    this.service = service
    this.old = old
    this.#shared = shared
    this.#owner = ownerOfService(service)
    this.#before = heldBy(old?.spec)
    this.#dryRun = dryRun
  }

  get registry(): Registry {
    return this.#shared.registry
  }

  /** Whether it is the Service's already. */
  had(table: Table, name: string): boolean {
    return [...this.#before, ...this.#taken].some(h => h.table === table && h.name === name)
  }

  async take(table: Table, name: string): Promise<boolean> {
    const { registry, holds } = this.#shared
    if (this.#dryRun) {
      if (registry.get(table, '', name)) return false
    } else if (!(await claim(registry, table, name, this.#owner, holds))) return false
    this.#taken.push({ table, name })
    return true
  }

  /** Any free one of the ranges; undefined when there is none. */
  async anyOf(table: Table, ranges: readonly Range[]): Promise<string | undefined> {
    for (const range of ranges)
      for (const name of candidates(range)) {
        if (this.registry.get(table, '', name) || this.had(table, name)) continue
        if (await this.take(table, name)) return name
      }
    return undefined
  }

  /** The Service is written: what it no longer holds is free. */
  async keep(): Promise<void> {
    if (this.#dryRun) return
    const now = heldBy(this.service.spec)
    const dropped = this.#before.filter(h => !now.some(n => n.table === h.table && n.name === h.name))
    await releaseAll(this.#shared, dropped, this.#owner)
  }

  /** It is not: what was taken for it is free, unless somebody else has written it meanwhile with the same claims. */
  async release(): Promise<void> {
    if (this.#dryRun || this.#taken.length === 0) return
    const { registry, holds } = this.#shared
    const current = await registry.fresh().then(
      () => true,
      () => false,
    )
    if (!current) return
    await Promise.all(
      this.#taken
        .filter(h => !holds(h.table, this.#owner, h.name))
        .map(h => release(registry, h.table, h.name, this.#owner).catch(() => {})),
    )
  }
}
