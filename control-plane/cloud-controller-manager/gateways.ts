/**
 * gateway-service-controller: each Gateway of ours has a Service of type LoadBalancer before the ingress proxy, and so an address of its
 * own. Which port of the proxy is whose the API server says, by the Service's node ports: see ingress-controller/gateway/services.ts.
 */
import { createHash } from 'node:crypto'
import type { Service } from '#shared/api/core/service.ts'
import { services } from '#shared/api/kinds.ts'
import { source } from '#shared/client/controller.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { followCustomKinds } from '../ingress-controller/gateway/follow.ts'
import { gatewayService, isOfGateway, serviceKey } from '../ingress-controller/gateway/services.ts'
import { gatewayClasses, gateways } from '../ingress-controller/gateway/types.ts'
import type { NewCloudController } from './context.ts'
import { controllerClass, labels } from './ingress.ts'

const name = 'gateway-service-controller'
/** Of the Service: what was applied. */
const madeFrom = 'coxswain.io/made-from'

export const gatewayServiceController: NewCloudController = ({ client, informer, log, signal }) => {
  const all = informer(services)
  let custom: ReturnType<typeof followCustomKinds>
  return {
    name,
    client,
    workers: 1,
    // They are one thing: what has no Gateway is deleted.
    sources: [source(all, ({ object }) => (isOfGateway(object) ? ['services'] : []))],
    start(queue) {
      const changed = (): void => queue.add('services')
      custom = followCustomKinds(client, [gatewayClasses, gateways], changed, log, signal)
      void custom.synced.then(changed)
    },
    async reconcile(_, client) {
      await custom.synced
      const classes = custom.list(gatewayClasses).filter(c => c.spec.controllerName === controllerClass && !c.spec.parametersRef)
      const own = custom.list(gateways).filter(g => classes.some(c => c.metadata.name === g.spec.gatewayClassName))
      const wanted = new Set(own.map(g => serviceKey(g).name))
      for (const { metadata } of all.list().filter(s => isOfGateway(s) && !wanted.has(s.metadata.name ?? '')))
        await client.delete(services, metadata.namespace ?? '', metadata.name ?? '').catch((e: unknown) => {
          if (!isNotFound(e)) throw e
        })
      let failure: Error | undefined
      for (const gateway of own) {
        const { namespace, name } = serviceKey(gateway)
        const found = all.get(namespace, name)
        const service = gatewayService(gateway, found, labels)
        const from = createHash('sha256').update(JSON.stringify(service)).digest('hex').slice(0, 16)
        if (found?.metadata.annotations?.[madeFrom] === from) continue
        service.metadata.annotations[madeFrom] = from
        // One that is refused, by what its Gateway wants of labels for one, is no matter for the others.
        await client.patch(services, namespace, name, 'apply', service as unknown as Service).catch((e: Error) => (failure = e))
      }
      if (failure) throw failure
    },
    log,
  }
}
