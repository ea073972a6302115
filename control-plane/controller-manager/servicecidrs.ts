/**
 * ServiceCIDRs: ready from the start, and deleted when no Service's address would be left outside all ranges
 * (pkg/controller/servicecidrs/servicecidrs_controller.go).
 */
import { ipAddresses, serviceCIDRs } from '#shared/api/kinds.ts'
import type { IPAddress } from '#shared/api/networking/ipaddress.ts'
import type { ServiceCIDR } from '#shared/api/networking/servicecidr.ts'
import {
  managedByLabel,
  overlap,
  rangeCovers,
  rangeHolds,
  serviceAllocator,
  serviceCIDRFinalizer,
  serviceCIDRGraceMs,
} from '#shared/api/networking/serviceaddresses.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { formatTime } from '#shared/machinery/time.ts'
import type { NewController } from './context.ts'

const rangesOf = ({ spec }: ServiceCIDR): readonly string[] => spec.cidrs ?? []
const isOfService = ({ metadata }: IPAddress): boolean => metadata.labels?.[managedByLabel] === serviceAllocator
const holds = (cidr: ServiceCIDR, address: string): boolean => rangesOf(cidr).some(r => rangeHolds(r, address))

/** Whether every address of a Service would still be in a range without this one. */
export function mayGo(cidr: ServiceCIDR, all: readonly ServiceCIDR[], addresses: readonly IPAddress[]): boolean {
  const others = all.filter(o => o.metadata.name !== cidr.metadata.name)
  if (rangesOf(cidr).every(range => others.some(o => rangesOf(o).some(r => rangeCovers(r, range))))) return true
  return !addresses.some(a => {
    const name = a.metadata.name ?? ''
    return isOfService(a) && holds(cidr, name) && !others.some(o => holds(o, name))
  })
}

const ready = { status: 'True', reason: '', message: 'Kubernetes Service CIDR is ready' }
const terminating = {
  status: 'False',
  reason: 'Terminating',
  message: 'There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR',
}

async function setCondition(client: Client, { metadata, status }: ServiceCIDR, wanted: typeof ready): Promise<void> {
  const now = status?.conditions?.find(c => c.type === 'Ready')
  if (now?.status === wanted.status && (now.reason ?? '') === wanted.reason) return
  const condition = { type: 'Ready', ...wanted, lastTransitionTime: formatTime() }
  await client.patch(serviceCIDRs, '', metadata.name ?? '', 'strategic', { status: { conditions: [condition] } }, 'status')
}

export const serviceCIDRsController: NewController = ctx => {
  const cidrs = ctx.informer(serviceCIDRs)
  const addresses = ctx.informer(ipAddresses)
  return {
    name: 'service-cidr-controller',
    client: ctx.as('service-cidrs-controller'),
    sources: [
      // What comes or goes decides whether those that it overlaps with may go.
      source(cidrs, ({ object }) => [
        keyOf(object),
        ...cidrs
          .list()
          .filter(o => rangesOf(o).some(r => rangesOf(object).some(own => overlap(r, own))))
          .map(keyOf),
      ]),
      source(addresses, ({ object }) =>
        isOfService(object)
          ? cidrs
              .list()
              .filter(c => c.metadata.deletionTimestamp !== undefined && holds(c, object.metadata.name ?? ''))
              .map(keyOf)
          : [],
      ),
    ],
    async reconcile(key, client) {
      const cidr = cidrs.get('', splitKey(key)[1])
      if (!cidr) return
      const { name = '', deletionTimestamp, finalizers = [] } = cidr.metadata
      const guarded = finalizers.includes(serviceCIDRFinalizer)
      try {
        if (deletionTimestamp === undefined) {
          if (!guarded) await client.patch(serviceCIDRs, '', name, 'strategic', { metadata: { finalizers: [serviceCIDRFinalizer] } })
          return await setCondition(client, cidr, ready)
        }
        if (!guarded) return
        if (!mayGo(cidr, cidrs.list(), addresses.list())) return await setCondition(client, cidr, terminating)
        const leftMs = Date.parse(deletionTimestamp) + serviceCIDRGraceMs - Date.now()
        if (leftMs > 0) return { requeueAfterMs: leftMs }
        await client.patch(serviceCIDRs, '', name, 'strategic', {
          metadata: { '$deleteFromPrimitiveList/finalizers': [serviceCIDRFinalizer] },
        })
      } catch (e) {
        if (!isNotFound(e)) throw e
      }
    },
    log: ctx.log,
  }
}
