/** A Service's connections and throughput, from a pod on one node to a pod on another, against the same to the pod's own address. */
import { execa } from 'execa'
import { nodes as nodeKind, pods, services } from '#shared/api/kinds.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { Measurement, Row } from './measurement.ts'
import { isReady, podOf, sleeper, watchPods } from './pods.ts'
import { nameAfterService } from './names.ts'
import { median } from './statistics.ts'
import { until } from './until.ts'
import { wrk } from './wrk.ts'

const megabytes = 64
// The direct connections have a port of their own: otherwise theirs and the Service's, after translation, would be the same in connection
// tracking.
const serve = `head -c ${megabytes}M /dev/zero >/usr/share/nginx/html/large && : >/usr/share/nginx/html/small && sed -i 's/access_log .*/access_log off;/' /etc/nginx/nginx.conf && sed -i 's/listen 80;/listen 80; listen 8080;/' /etc/nginx/conf.d/default.conf && exec nginx -g 'daemon off;'`

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
    spec: { type: 'NodePort', selector: { app: 'server' }, ports: [{ port: 80 }] },
  } as unknown as Service)
  let address = ''
  await watch.until(all => {
    address = all.get('server')?.status?.podIP ?? ''
    return [...all.values()].filter(isReady).length === 2
  }, 'server and client are Ready')
  const pid = (await cluster.ps()).find(p => p.component === 'container' && p.pod === 'client' && p.namespace === namespace)?.pid
  if (pid === undefined) throw new Error('the client has no process')
  const within = ['nsenter', '-t', String(pid), '-n']
  const direct = `http://${address}:8080`
  const through = `http://${service.spec?.clusterIP}`
  // Of the client's own node, as anybody on it or beside it would ask.
  const ownNode = (await client.get(nodeKind, '', nodes[1] ?? nodes[0] ?? '')).status?.addresses?.find(
    a => a.type === 'InternalIP',
  )?.address
  const byNodePort = `http://${ownNode}:${service.spec?.ports?.[0]?.nodePort}`
  const [nsenter = '', ...args] = within
  await until(
    () => execa(nsenter, [...args, 'curl', '-sf', '--max-time', '1', `${through}/small`], { reject: false }).then(r => r.exitCode === 0),
    'the Service answers',
  )

  // wrk's shortest.
  const seconds = 1
  const rounds = Math.min(2 * sizes.seconds, sizes.repeat)
  const compare = async (
    what: string,
    way: string,
    run: (url: string) => Promise<number>,
  ): Promise<[ours: number, floor: number, share: number]> => {
    const ours: number[] = []
    const floors: number[] = []
    // In short turns, each beside its own floor: a machine that becomes slower does so for both.
    for (let i = 0; i < rounds; i++) {
      for (const url of i % 2 ? [direct, way] : [way, direct]) (url === direct ? floors : ours).push(await run(url))
      say(`${what}: ${ours.at(-1)?.toFixed(0)} through ${way}, ${floors.at(-1)?.toFixed(0)} direct`)
    }
    return [median(ours), median(floors), median(ours.map((value, i) => value / floors[i]!))]
  }
  const connections = async (url: string): Promise<number> =>
    (await wrk({ url: `${url}/small`, connections: 16, seconds, headers: { Connection: 'close' }, within })).perSecond
  const throughput = async (url: string): Promise<number> =>
    (await wrk({ url: `${url}/large`, connections: 2, seconds, within })).megabytesPerSecond
  const named = await nameAfterService(client, namespace, ownNode ?? '', sizes.repeat)
  const result: Row[] = [{ name: 'Service: created to its name in DNS, p50', unit: 'ms', value: named, target: 100 }]
  for (const [name, way] of [
    ['Service', through],
    ['NodePort', byNodePort],
  ] as const) {
    const [rate, rateFloor] = await compare('connections/s', way, connections)
    const [speed, speedFloor, share] = await compare('MB/s', way, throughput)
    const floorName = "the same to the pod's address"
    result.push(
      { name: `${name}: connections`, unit: '/s', value: rate, floor: rateFloor, floorName },
      { name: `${name}: throughput`, unit: 'MB/s', value: speed, floor: speedFloor, floorName },
      { name: `${name}: throughput, share of direct`, unit: '%', value: 100 * share, target: 95 },
    )
  }
  return result
}
