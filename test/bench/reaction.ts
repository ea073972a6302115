/**
 * How soon the network follows: from a pod that is Ready to its first answer by each way in, and from a policy that is written, or deleted,
 * to its effect on connections to a pod. All is asked from the machine, again and again.
 */
import { get } from 'node:http'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { ingresses, networkPolicies, nodes, pods, services } from '#shared/api/kinds.ts'
import { addressOf } from './loadbalancer.ts'
import type { Measurement, Row } from './measurement.ts'
import { isReady, podOf, watchPods } from './pods.ts'
import { median } from './statistics.ts'
import { until } from './until.ts'

/** An attempt that takes longer is one without an answer. */
const patienceMs = 50
const host = 'reaction.example.com'

/** Whether a GET on a connection of its own is answered with 200 in time. */
function answers(url: string): Promise<boolean> {
  return new Promise(resolve => {
    const request = get(url, { agent: false, headers: { host } }, response => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    const late = setTimeout(() => request.destroy(), patienceMs)
    request.on('error', () => resolve(false))
    request.on('close', () => clearTimeout(late))
  })
}

/** Milliseconds from `since` to the start of the first attempt that is `wanted`; attempts follow each other. */
async function first(url: string, wanted: boolean, since: number): Promise<number> {
  for (;;) {
    const at = performance.now()
    if ((await answers(url)) === wanted) return (wanted ? performance.now() : at) - since
    if (at - since > 60_000) throw new Error(`${url} does not change`)
    await new Promise(resolve => setTimeout(resolve, 1))
  }
}

export const measureReaction: Measurement = async bench => {
  const { client, sizes, say } = bench
  const namespace = await bench.namespace()
  const rounds = Math.min(sizes.repeat, 10)
  const object = (apiVersion: string, kind: string, name: string, spec: object): never =>
    ({ apiVersion, kind, metadata: { name, namespace }, spec }) satisfies KubeObject & { spec: object } as never
  const made = await client.create(
    services,
    namespace,
    object('v1', 'Service', 'web', { type: 'LoadBalancer', selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] }),
  )
  const backend = { path: '/', pathType: 'Prefix', backend: { service: { name: 'web', port: { number: 80 } } } }
  await client.create(
    ingresses,
    namespace,
    object('networking.k8s.io/v1', 'Ingress', 'web', { rules: [{ host, http: { paths: [backend] } }] }),
  )
  const balanced = await addressOf(async () => (await client.get(services, namespace, 'web')).status)
  const entered = await addressOf(async () => (await client.get(ingresses, namespace, 'web')).status)
  const node = (await bench.cluster.ps()).find(p => p.component === 'node-agent')?.node ?? ''
  const watch = await watchPods(client, namespace)
  bench.afterwards(watch.stop)
  const container = { name: 'echo', image: 'registry.k8s.io/echoserver:1.10' }
  const readinessProbe = { httpGet: { port: 8080 }, periodSeconds: 1 }

  const times = new Map<string, number[]>()
  for (let i = 0; i < rounds; i++) {
    const name = `web-${i}`
    const pod = podOf(namespace, name, { nodeName: node, containers: [{ ...container, readinessProbe }] })
    pod.metadata.labels = { app: 'web' }
    await client.create(pods, namespace, pod)
    await watch.until(all => isReady(all.get(name) ?? pod), `${name} is Ready`)
    const since = performance.now()
    const ways: [string, string][] = [
      ['Service', `http://${made.spec?.clusterIP}/`],
      ['NodePort', `http://${await addressOfNode()}:${made.spec?.ports?.[0]?.nodePort}/`],
      ['LoadBalancer', `http://${balanced}/`],
      ['Ingress', `http://${entered}/`],
    ]
    const took = await Promise.all(ways.map(([, url]) => first(url, true, since)))
    ways.forEach(([way], n) => times.set(way, [...(times.get(way) ?? []), took[n]!]))
    say(`Ready to first answer: ${ways.map(([way], n) => `${way} ${took[n]!.toFixed(0)} ms`).join(', ')}`)
    if (i === rounds - 1) break
    await client.delete(pods, namespace, name, { gracePeriodSeconds: 0 })
    await watch.until(all => all.size === 0, `${name} is gone`)
    // The proxy drops what it knows a moment after the API does.
    await until(async () => !(await answers(ways[3]![1])), 'nobody answers any more')
  }
  async function addressOfNode(): Promise<string> {
    const addresses = (await client.list(nodes, '')).items.find(n => n.metadata.name === node)?.status?.addresses
    return addresses?.find(a => a.type === 'InternalIP')?.address ?? ''
  }

  const ip = (await client.get(pods, namespace, `web-${rounds - 1}`)).status?.podIP
  const url = `http://${ip}:8080/`
  const written: number[] = []
  const removed: number[] = []
  for (let i = 0; i < rounds; i++) {
    await client.create(
      networkPolicies,
      namespace,
      object('networking.k8s.io/v1', 'NetworkPolicy', 'nobody', { podSelector: {}, policyTypes: ['Ingress'] }),
    )
    written.push(await first(url, false, performance.now()))
    await client.delete(networkPolicies, namespace, 'nobody')
    removed.push(await first(url, true, performance.now()))
    say(`policy to effect: ${written.at(-1)!.toFixed(0)} ms, its end ${removed.at(-1)!.toFixed(0)} ms`)
  }
  return [
    ...[...times].map(([way, all]): Row => ({
      name: `pod Ready to first answer: ${way}, p50`,
      unit: 'ms',
      value: median(all),
      target: 100,
    })),
    { name: 'NetworkPolicy: written to its effect, p50', unit: 'ms', value: Math.max(0, median(written)), target: 100 },
    { name: 'NetworkPolicy: deleted to its effect, p50', unit: 'ms', value: Math.max(0, median(removed)), target: 100 },
  ]
}
