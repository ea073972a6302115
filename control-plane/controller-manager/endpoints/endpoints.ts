/** Keeps the Endpoints object of every Service with a selector, for clients that still read it. pkg/controller/endpoint */
import type { EndpointAddress, Endpoints } from '#shared/api/core/endpoints.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import type { Service } from '#shared/api/core/service.ts'
import { endpoints, pods, services } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import type { InformerEvent } from '#shared/client/informer.ts'
import { canonical } from '#shared/machinery/hash.ts'
import { isNamespaceTerminating, isStatus } from '#shared/machinery/status.ts'
import type { ControllerContext, NewController } from '../context.ts'
import { isReady } from '../podcontrol/pods.ts'
import { addressTypes, addressesOf, headlessLabel, hostnameIn, isHeadless, isManaged } from './backends.ts'
import { mayServe, selectsPod, targetPort, triggerTime, triggerTimeAnnotation } from './backends.ts'
import { repack, truncate, type Backend } from './subsets.ts'

const managedByLabel = 'endpoints.kubernetes.io/managed-by'
const managedBy = 'endpoint-controller'
const overCapacity = 'endpoints.kubernetes.io/over-capacity'

/** What a service's pods contribute; `members` are those it selects. */
export function backends(service: Service, members: readonly LeanPod[]): Backend[] {
  const type = addressTypes(service)[0]!
  return members.flatMap((pod): Backend[] => {
    const ip = addressesOf(pod, type)[0]
    if (ip === undefined) return []
    const { name = '', namespace = '', uid = '' } = pod.metadata
    const hostname = hostnameIn(pod, service)
    const address: EndpointAddress = {
      ip,
      ...(hostname ? { hostname } : {}),
      ...(pod.spec.nodeName ? { nodeName: pod.spec.nodeName } : {}),
      targetRef: { kind: 'Pod', namespace, name, uid },
    }
    const ready = Boolean(service.spec.publishNotReadyAddresses) || isReady(pod)
    const ports = service.spec.ports ?? []
    if (ports.length === 0) return isHeadless(service) ? [{ address, port: undefined, ready }] : []
    return ports.flatMap(port => {
      const number = targetPort(pod, port)
      if (number === undefined) return []
      const { name, protocol = 'TCP', appProtocol } = port
      return [{ address, port: { ...(name ? { name } : {}), port: number, protocol, ...(appProtocol ? { appProtocol } : {}) }, ready }]
    })
  })
}

export const endpointsController: NewController = (ctx: ControllerContext) => {
  const recorder = ctx.recorder('endpoint-controller')
  const all = ctx.informer(services)
  const podInformer = ctx.informer(pods)
  const objects = ctx.informer(endpoints)

  function* servicesOf(event: InformerEvent<LeanPod>): Iterable<string> {
    const versions = event.previous ? [event.object, event.previous] : [event.object]
    for (const service of all.list(event.object.metadata.namespace))
      if (versions.some(p => selectsPod(service, p.metadata.labels))) yield keyOf(service)
  }

  async function reconcile(key: string, client: Client): Promise<void> {
    const [namespace, name] = splitKey(key)
    const service = all.get(namespace, name)
    const current = objects.get(namespace, name)
    if (!service) {
      if (current)
        await client.delete(endpoints, namespace, name).catch((e: unknown) => {
          if (!isStatus(e, 'NotFound')) throw e
        })
      return
    }
    if (!isManaged(service) || service.metadata.deletionTimestamp) return
    const includeTerminating = Boolean(service.spec.publishNotReadyAddresses)
    const members = podInformer.list(namespace).filter(p => selectsPod(service, p.metadata.labels) && mayServe(p, includeTerminating))
    const { subsets, cut } = truncate(repack(backends(service, members)))
    const { [headlessLabel]: _, ...own } = service.metadata.labels ?? {}
    const labels = { ...own, ...(isHeadless(service) ? { [headlessLabel]: '' } : {}), [managedByLabel]: managedBy }
    const same =
      current && canonical(current.subsets ?? []) === canonical(subsets) && canonical(current.metadata.labels ?? {}) === canonical(labels)
    if (same && (current.metadata.annotations?.[overCapacity] !== undefined) === cut) return
    const { [overCapacity]: __, ...annotations } = current?.metadata.annotations ?? {}
    const trigger = triggerTime(service, members)
    const next = {
      apiVersion: 'v1',
      kind: 'Endpoints',
      metadata: {
        ...(current?.metadata ?? { name, namespace }),
        labels,
        annotations: {
          ...annotations,
          ...(trigger ? { [triggerTimeAnnotation]: trigger } : {}),
          ...(cut ? { [overCapacity]: 'truncated' } : {}),
        },
      },
      subsets,
    } as Endpoints
    try {
      if (current) await client.update(endpoints, next)
      else await client.create(endpoints, namespace, next)
    } catch (e) {
      if (isNamespaceTerminating(e)) return
      const message = (e as Error).message
      if (!current)
        recorder.event(
          service,
          'Warning',
          'FailedToCreateEndpoint',
          `Failed to create endpoint for service ${namespace}/${name}: ${message}`,
        )
      else if (!isStatus(e, 'Conflict'))
        recorder.event(current, 'Warning', 'FailedToUpdateEndpoint', `Failed to update endpoint ${namespace}/${name}: ${message}`)
      throw e
    }
  }

  return {
    name: 'endpoints-controller',
    client: ctx.as('endpoint-controller'),
    workers: 5,
    // Of Endpoints only what this controller made is followed: people make their own for services without selector.
    sources: [
      source(all, e => [keyOf(e.object)]),
      source(podInformer, servicesOf),
      source(objects, e => (e.object.metadata.labels?.[managedByLabel] === managedBy ? [keyOf(e.object)] : [])),
    ],
    reconcile,
    log: ctx.log,
  }
}
