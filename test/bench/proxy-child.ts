/**
 * The proxy with as many Services and endpoints as its arguments say, in the network namespace that it is started in; prints what it
 * measured as JSON, ms. Besides, what nft alone takes for the same scripts.
 */
import { Cache } from '#shared/client/cache.ts'
import type { Informer, InformerEvent } from '#shared/client/informer.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { logger } from '#shared/component/log.ts'
import { nft } from '#shared/linux/nft.ts'
import { newKernelTable } from '#node-agent/proxy/kernel.ts'
import { startProxy } from '#node-agent/proxy/proxy.ts'
import { serviceRuleset } from '#node-agent/proxy/ruleset.ts'
import { newProxyStatus } from '#node-agent/proxy/status.ts'
import { median } from './statistics.ts'

const [services = 0, endpoints = 0, repeat = 0] = process.argv.slice(2).map(Number)

/** An informer over a real cache that is fed by hand. */
function fed<T extends KubeObject>(): { informer: Informer<T>; set(object: T): void } {
  const cache = new Cache<T>()
  const handlers = new Set<(event: InformerEvent<T>) => void>()
  const informer: Informer<T> = {
    kind: { group: '', version: 'v1', kind: '', plural: '', namespaced: true },
    get: (namespace, name) => cache.get(Cache.key(namespace, name)),
    list: () => cache.all(),
    addIndex: (name, keys) => cache.addIndex(name, keys),
    byIndex: (name, key) => cache.byIndex(name, key),
    countByIndex: (name, key) => cache.countByIndex(name, key),
    subscribe(handler) {
      for (const object of cache.all()) handler({ type: 'ADDED', object })
      handlers.add(handler)
      return () => void handlers.delete(handler)
    },
    synced: Promise.resolve(),
    version: 0,
    reached: () => Promise.resolve(),
    lastHeard: 0,
  }
  return {
    informer,
    set(object) {
      const previous = cache.get(Cache.keyOf(object))
      cache.set(object)
      for (const handler of handlers) handler(previous ? { type: 'MODIFIED', object, previous } : { type: 'ADDED', object })
    },
  }
}

const serviceOf = (i: number): Service =>
  ({
    metadata: { name: `service-${i}`, namespace: `namespace-${i % 100}` },
    spec: { clusterIP: `10.9.${128 + (i >> 8)}.${i & 255}`, ports: [{ port: 80, protocol: 'TCP', targetPort: 8080 }] },
  }) as unknown as Service
const sliceOf = (i: number, count: number): EndpointSlice =>
  ({
    metadata: {
      name: `service-${i}-x`,
      namespace: `namespace-${i % 100}`,
      labels: { 'kubernetes.io/service-name': `service-${i}` },
    },
    addressType: 'IPv4',
    ports: [{ name: '', protocol: 'TCP', port: 8080 }],
    endpoints: Array.from({ length: count }, (_, n) => ({
      addresses: [`10.${10 + n}.${i >> 8}.${i & 255}`],
      nodeName: `node-${n}`,
      conditions: { ready: true },
    })),
  }) as unknown as EndpointSlice

const each = endpoints / services
const [all, slices, nodes] = [fed<Service>(), fed<EndpointSlice>(), fed<Node>()]
for (let i = 0; i < services; i++) {
  all.set(serviceOf(i))
  slices.set(sliceOf(i, each))
}
const options = {
  family: 'IPv4' as const,
  nodeName: 'node-0',
  nodeIPs: ['10.9.255.11'],
  clusterCIDR: '10.0.0.0/9',
  serviceCIDR: '10.9.128.0/17',
}

// The floor: the script for it all, made beforehand.
const table = newKernelTable(options)
for (const service of all.informer.list())
  table.set(
    Cache.keyOf(service),
    serviceRuleset(service, [sliceOf(Number(service.metadata.name!.slice('service-'.length)), each)], options),
  )
const script = table.script()
const timed = async (work: () => Promise<void>): Promise<number> => {
  const start = performance.now()
  await work()
  return performance.now() - start
}
const floor = await timed(() => nft(script, 120_000))
const changeFloors: number[] = []
for (let i = 0; i < repeat; i++)
  changeFloors.push(await timed(() => nft(`add element ip kube-proxy cluster-ips { 192.0.2.${i} }\n`, 120_000)))

let written = (): void => {}
const status = newProxyStatus()
const began = performance.now()
const proxy = startProxy(
  {
    services: all.informer,
    endpointSlices: slices.informer,
    nodes: nodes.informer,
    ...options,
    status: { ...status, written: () => (status.written(), written()) },
    log: logger('bench'),
  },
  new AbortController().signal,
)
await proxy.synced
const start = performance.now() - began
const changes: number[] = []
for (let i = 0; i < repeat; i++)
  changes.push(
    await timed(async () => {
      const done = new Promise<void>(resolve => (written = resolve))
      slices.set(sliceOf(i, i % 2 ? each : each - 1))
      await done
    }),
  )
process.stdout.write(`${JSON.stringify({ start, floor, change: median(changes), changeFloor: median(changeFloors) })}\n`)
process.exit(0)
