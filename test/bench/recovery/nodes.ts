/** A node dies under a Deployment behind a Service, or loses its link for a while. */
import { setTimeout as delay } from 'node:timers/promises'
import { execa } from 'execa'
import { cutLink, healLink, type LinkFault } from '#control-plane/cli/link.ts'
import { nodeProcess } from '#control-plane/cli/node.ts'
import { killNode, startDeadNode } from '#control-plane/cli/node-commands.ts'
import { readRecord } from '#control-plane/cli/process.ts'
import type { Service } from '#shared/api/core/service.ts'
import { nodes, services } from '#shared/api/kinds.ts'
import { trafficFrom } from '../../fixtures/traffic.ts'
import { isReady } from '../pods.ts'
import { until } from '../until.ts'
import { follow, isWhole, working, type Scenario } from './failure.ts'

const replicas = 6

export const node: Scenario = {
  name: 'node killed',
  nodes: 3,
  async prepare(stage) {
    const watch = await working(stage, replicas)
    const {
      client,
      namespace,
      cluster,
      nodes: [, victim = '', asking = ''],
    } = stage
    const service = await client.create(services, namespace, {
      metadata: { name: 'web', namespace },
      spec: { selector: { app: 'web' }, ports: [{ port: 80 }] },
    } as unknown as Service)
    const url = `http://${service.spec.clusterIP}/`
    const pid = readRecord(cluster.dir, nodeProcess(asking))?.pid ?? 0
    await until(
      () =>
        execa('nsenter', ['-t', String(pid), '-n', 'curl', '-sf', '--max-time', '1', url], { reject: false }).then(r => r.exitCode === 0),
      'the Service answers',
    )
    const requests = await trafficFrom(pid, url, 1000)
    stage.afterwards(requests.kill)
    let struck = 0
    const replaced = Promise.withResolvers<void>()
    return {
      strike() {
        struck = Date.now()
        return killNode(cluster.dir, victim)
      },
      recoveries: [
        {
          what: `${replicas} replicas are Ready elsewhere`,
          target: 15,
          done: () =>
            watch
              .until(all => [...all.values()].filter(p => p.spec.nodeName !== victim && isReady(p)).length === replicas, 'all are replaced')
              .finally(replaced.resolve),
        },
        {
          what: 'the last request without an answer in 1 s',
          target: 5,
          async done() {
            await replaced.promise
            const { failures } = await requests.stop()
            return Math.max(struck, ...failures.map(f => f.at))
          },
        },
      ],
      async after() {
        await startDeadNode(cluster.dir, victim)
        await client.delete(services, namespace, 'web')
      },
    }
  },
}

const cut = (name: string, direction: LinkFault['direction']): Scenario => ({
  name,
  nodes: 3,
  async prepare(stage) {
    const watch = await working(stage, replicas)
    const nodeWatch = await follow(stage, nodes, '')
    const {
      cluster: { dir },
      nodes: [, victim = ''],
      sizes,
    } = stage
    stage.afterwards(() => healLink(dir, victim))
    await cutLink(dir, victim, direction)
    await delay(sizes.cut * 1000)
    const deleted = new Set<string>()
    await watch.until(all => {
      for (const pod of all.values()) if (pod.metadata.deletionTimestamp) deleted.add(pod.metadata.name ?? '')
      return deleted.size > 0
    }, `what was on ${victim} is deleted`)
    return {
      strike: () => healLink(dir, victim),
      recoveries: [
        { what: 'the node is Ready', done: () => nodeWatch.until(all => isWhole(all.get(victim)), `${victim} is Ready`) },
        {
          what: 'what was deleted meanwhile is gone',
          target: 2,
          done: () => watch.until(all => [...deleted].every(name => !all.has(name)), 'what was deleted is gone'),
        },
      ],
    }
  },
})

export const links: Scenario[] = [
  cut('link cut, healed', 'both'),
  cut('link that loses what goes out, healed', 'out'),
  cut('link that loses what comes in, healed', 'in'),
]
