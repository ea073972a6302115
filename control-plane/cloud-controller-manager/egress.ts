/**
 * egress-address-controller: what pods of a namespace send to the outside has the address that the namespace's annotation names. Not
 * upstream's: as a cloud's NAT gateway. Pods are followed in such namespaces alone.
 */
import { isIPv4 } from 'node:net'
import type { Pod } from '#shared/api/core/pod.ts'
import { namespaces, pods } from '#shared/api/kinds.ts'
import { source } from '#shared/client/controller.ts'
import type { Informer } from '#shared/client/informer.ts'
import { startInformer } from '#shared/client/reflector.ts'
import { egressAddress, egressAnnotation, keepPodAddress, ownAddress } from '#shared/network/egress.ts'
import type { NewCloudController } from './context.ts'

const name = 'egress-address-controller'

export const egressAddressController: NewCloudController = ({ cloud, client, informer, recorder, log, signal }) => {
  const all = informer(namespaces)
  const events = recorder(name)
  const followed = new Map<string, { pods: Informer<Pod>; stop: AbortController }>()
  let follow: (namespace: string) => { pods: Informer<Pod>; stop: AbortController }

  return {
    name,
    client,
    workers: 1,
    // All addresses are one thing: they are compared with what there is.
    sources: [source(all, e => (egressAddress(e.object) === '' && (!e.previous || egressAddress(e.previous) === '') ? [] : ['addresses']))],
    start(queue) {
      queue.add('addresses')
      follow = namespace => {
        const stop = new AbortController()
        const informer = startInformer(client, pods, { namespace, strip: keepPodAddress, log }, AbortSignal.any([signal, stop.signal]))
        informer.subscribe(() => queue.add('addresses'))
        return { pods: informer, stop }
      }
    },
    async reconcile() {
      const addresses = new Map<string, string>()
      const asked = new Map(all.list().flatMap(n => (egressAddress(n) === '' ? [] : [[n.metadata.name ?? '', n] as const])))
      for (const [namespace, { stop }] of followed)
        if (!asked.has(namespace)) {
          stop.abort()
          followed.delete(namespace)
        }
      for (const [namespace, object] of asked) {
        const address = egressAddress(object)
        if (!cloud.egress || !isIPv4(address)) {
          const why = cloud.egress ? `"${address}" is no IPv4 address` : 'the cloud has no addresses for that'
          events.event(object, 'Warning', 'EgressAddressNotHonored', `${egressAnnotation}: ${why}`)
          continue
        }
        const one = followed.get(namespace) ?? follow(namespace)
        followed.set(namespace, one)
        await one.pods.synced
        for (const pod of one.pods.list()) {
          const ip = ownAddress(pod)
          if (ip) addresses.set(ip, address)
        }
      }
      await cloud.egress?.ensureAddresses(addresses)
    },
    log,
  }
}
