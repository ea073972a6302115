/**
 * A Service's connections and throughput against the same to the pod's own address: from a pod on one node to a pod on another by its
 * address and a node port; from the machine by a load balancer and an Ingress.
 */
import { execa } from 'execa'
import { ingresses, nodes as nodeKind, pods, services } from '#shared/api/kinds.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { Ingress } from '#shared/api/networking/ingress.ts'
import type { Measurement, Row } from './measurement.ts'
import { isReady, podOf, sleeper, watchPods } from './pods.ts'
import { addressOf } from './loadbalancer.ts'
import { nameAfterService } from './names.ts'
import { median } from './statistics.ts'
import { until } from './until.ts'
import { wrk } from './wrk.ts'

// Little enough for a slow machine to send some of it within a round.
const megabytes = 16
// Each way has a port of its own: otherwise its connections and those of another, after translation, would be the same in connection
// tracking, where each stays for two minutes.
const ports = { direct: 8080, service: 80, nodePort: 81, loadBalancer: 82, ingress: 83, fromMachine: 84 }
const serve = `head -c ${megabytes}M /dev/zero >/usr/share/nginx/html/large && : >/usr/share/nginx/html/small && sed -i 's/access_log .*/access_log off;/' /etc/nginx/nginx.conf && sed -i 's/listen 80;/${Object.values(
  ports,
)
  .map(port => `listen ${port};`)
  .join(' ')}/' /etc/nginx/conf.d/default.conf && exec nginx -g 'daemon off;'`

export const measureService: Measurement = async bench => {
  const { cluster, client, sizes, say } = bench
  const namespace = await bench.namespace()
  const rows = await cluster.ps()
  const nodes = rows.filter(p => p.component === 'node-agent').map(p => p.node ?? '')
  const watch = await watchPods(client, namespace)
  bench.afterwards(watch.stop)
  const server = {
    nodeName: nodes[0],
    containers: [
      {
        name: 'nginx',
        image: 'nginx',
        command: ['sh', '-c', serve],
        readinessProbe: { httpGet: { path: '/small', port: 80 }, periodSeconds: 1 },
      },
    ],
  }
  await client.create(pods, namespace, podOf(namespace, 'server', server))
  await client.create(pods, namespace, sleeper(namespace, 'client', { nodeName: nodes[1] ?? nodes[0] }))
  const service = await client.create(services, namespace, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'server', namespace },
    spec: {
      type: 'LoadBalancer',
      selector: { app: 'server' },
      ports: [ports.service, ports.nodePort, ports.loadBalancer, ports.ingress].map(port => ({ name: `p${port}`, port })),
    },
  } as unknown as Service)
  let address = ''
  await watch.until(all => {
    address = all.get('server')?.status?.podIP ?? ''
    return [...all.values()].filter(isReady).length === 2
  }, 'server and client are Ready')
  const pid = (await cluster.ps()).find(p => p.component === 'container' && p.pod === 'client' && p.namespace === namespace)?.pid
  if (pid === undefined) throw new Error('the client has no process')
  const within = ['nsenter', '-t', String(pid), '-n']
  const through = `http://${service.spec?.clusterIP}`
  // Of the client's own node, as anybody on it or beside it would ask.
  const ownNode = (await client.get(nodeKind, '', nodes[1] ?? nodes[0] ?? '')).status?.addresses?.find(
    a => a.type === 'InternalIP',
  )?.address
  const nodePort = service.spec?.ports?.find(p => p.port === ports.nodePort)?.nodePort
  const [nsenter = '', ...args] = within
  await until(
    () => execa(nsenter, [...args, 'curl', '-sf', '--max-time', '1', `${through}/small`], { reject: false }).then(r => r.exitCode === 0),
    'the Service answers',
  )

  const balanced = await addressOf(async () => (await client.get(services, namespace, 'server')).status)
  await client.create(ingresses, namespace, {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { name: 'server', namespace },
    spec: { defaultBackend: { service: { name: 'server', port: { number: ports.ingress } } } },
  } as unknown as Ingress)
  const entered = await addressOf(async () => (await client.get(ingresses, namespace, 'server')).status)
  await until(
    async () => (await execa('curl', ['-sf', `http://${entered}/small`], { reject: false })).exitCode === 0,
    'the Ingress answers',
  )

  const fromPod = { url: `http://${address}:${ports.direct}`, within, name: "the same to the pod's address" }
  const fromMachine = { url: `http://${address}:${ports.fromMachine}`, within: [], name: "the same to the pod's address" }
  const ways = [
    { name: 'Service', url: through, floor: fromPod },
    { name: 'NodePort', url: `http://${ownNode}:${nodePort}`, floor: fromPod },
    { name: 'LoadBalancer, from the machine', url: `http://${balanced}:${ports.loadBalancer}`, floor: fromMachine },
    { name: 'Ingress, from the machine', url: `http://${entered}`, floor: fromMachine },
  ]
  // wrk's shortest.
  const seconds = 1
  const rounds = Math.min(2 * sizes.seconds, sizes.repeat, 6)
  type Run = (url: string, within: readonly string[]) => Promise<number>
  /**
   * Medians of ours, of the floor, and of the shares. In short turns, each beside its own floor: a machine that becomes slower does so for
   * both.
   */
  const compare = async (what: string, { url, floor }: (typeof ways)[number], run: Run): Promise<[number, number, number]> => {
    const values = new Map<string, number[]>([url, floor.url].map(u => [u, []]))
    for (let i = 0; i < rounds; i++) {
      for (const u of i % 2 ? [floor.url, url] : [url, floor.url]) values.get(u)!.push(await run(u, floor.within))
      say(`${what}: ${values.get(url)!.at(-1)?.toFixed(0)} through ${url}, ${values.get(floor.url)!.at(-1)?.toFixed(0)} direct`)
    }
    const [ours = [], floors = []] = [...values.values()]
    return [median(ours), median(floors), median(ours.map((value, i) => value / floors[i]!))]
  }
  const connections: Run = async (url, within) =>
    (await wrk({ url: `${url}/small`, connections: 16, seconds, headers: { Connection: 'close' }, within })).perSecond
  const throughput: Run = async (url, within) => (await wrk({ url: `${url}/large`, connections: 2, seconds, within })).megabytesPerSecond
  const named = await nameAfterService(client, namespace, ownNode ?? '', sizes.repeat)
  const result: Row[] = [{ name: 'Service: created to its name in DNS, p50', unit: 'ms', value: named, target: 100 }]
  for (const way of ways) {
    const [rate, rateFloor] = await compare('connections/s', way, connections)
    const [speed, speedFloor, share] = await compare('MB/s', way, throughput)
    const { name: floorName } = way.floor
    // A proxy copies every byte; what the kernel forwards shall cost nothing.
    const target = way.name.startsWith('Ingress') ? {} : { target: 95 }
    result.push(
      { name: `${way.name}: connections`, unit: '/s', value: rate, floor: rateFloor, floorName },
      { name: `${way.name}: throughput`, unit: 'MB/s', value: speed, floor: speedFloor, floorName },
      { name: `${way.name}: throughput, share of direct`, unit: '%', value: 100 * share, ...target },
    )
  }
  return result
}
