/** A Deployment: from its create to all pods Ready, and from its delete to nothing left. */
import type { Deployment } from '#shared/api/apps/deployment.ts'
import { deployments, replicaSets } from '#shared/api/kinds.ts'
import { openRunc } from './floor/runc.ts'
import type { Measurement } from './measurement.ts'
import { isReady, watchPods } from './pods.ts'
import { inFlight, median } from './statistics.ts'
import { until } from './until.ts'

export const deploymentOf = (namespace: string, name: string, replicas: number, container: object = { image: 'pause' }): Deployment =>
  ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { terminationGracePeriodSeconds: 2, containers: [{ name: 'main', ...container }] },
      },
    },
  }) as unknown as Deployment

export const measureDeployment: Measurement = async bench => {
  const {
    client,
    sizes: { replicas, repeat },
    say,
  } = bench
  const namespace = await bench.namespace()
  const watch = await watchPods(client, namespace)
  bench.afterwards(watch.stop)
  const runc = await openRunc()
  bench.afterwards(runc.close)
  const ready: number[] = []
  const gone: number[] = []
  const floors: number[] = []
  const rounds = Math.min(3, repeat)
  for (let i = 0; i < rounds; i++) {
    const name = `deployment-${i}`
    const began = performance.now()
    await client.create(deployments, namespace, deploymentOf(namespace, name, replicas))
    await watch.until(all => [...all.values()].filter(isReady).length === replicas, `${replicas} pods are Ready`)
    const up = performance.now()
    await client.delete(deployments, namespace, name, { propagationPolicy: 'Background' })
    await watch.until(all => all.size === 0, 'no pod is left')
    await until(async () => (await client.list(replicaSets, namespace)).items.length === 0, 'no ReplicaSet is left')
    ready.push((up - began) / 1000)
    gone.push((performance.now() - up) / 1000)
    say(`round ${i + 1} of ${rounds}: ${ready.at(-1)?.toFixed(2)} s, gone after ${gone.at(-1)?.toFixed(2)} s`)
    const start = performance.now()
    await inFlight(replicas, 4, () => runc.run())
    floors.push((performance.now() - start) / 1000)
  }
  const floor = { floor: median(floors), floorName: `${replicas} times \`runc run\` of \`true\`, 4 at a time` }
  return [
    { name: `Deployment of ${replicas}: create to all Ready`, unit: 's', value: median(ready), ...floor, target: 1.5 },
    { name: `Deployment of ${replicas}: delete to nothing left`, unit: 's', value: median(gone), ...floor },
  ]
}
