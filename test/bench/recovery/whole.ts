/** The supervisor dies, or the whole machine. */
import { setTimeout as delay } from 'node:timers/promises'
import { supervisorProcess } from '#control-plane/cli/process.ts'
import { requireCluster } from '#control-plane/cli/state.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { pullPlug } from '../../fixtures/plug.ts'
import type { Watched } from '../objects.ts'
import { isReady, watchPods } from '../pods.ts'
import { killed, working, type Scenario, type Stage } from './failure.ts'

export const supervisor: Scenario = {
  name: 'cox up killed',
  async prepare(stage) {
    await working(stage)
    return {
      strike: () => killed(stage.cluster.dir, supervisorProcess),
      recoveries: [{ what: 'the next cox up has adopted everything', done: () => stage.cluster.up() }],
    }
  },
}

/** Watches as soon as there is an API. */
async function watchSoon({ client, namespace }: Stage, signal: AbortSignal): Promise<Watched<Pod>> {
  for (;;) {
    try {
      return await watchPods(client, namespace)
    } catch (e) {
      if (signal.aborted) throw e
      await delay(20)
    }
  }
}

const replicas = 6
const containerOf = (pod: Pod): string => pod.status?.containerStatuses?.[0]?.containerID ?? ''

export const reboot: Scenario = {
  name: 'reboot',
  async prepare(stage) {
    const { cluster, nodes } = stage
    const former = new Set<string>()
    const watch = await working(stage, replicas)
    await watch.until(all => [...all.values()].every(p => former.add(containerOf(p))), 'the containers are known')
    await pullPlug(cluster.dir.root, requireCluster(cluster.dir).index, await cluster.ps())
    let up: Promise<void>
    return {
      // What is measured is the start that follows.
      strike: () => void (up = cluster.up()),
      recoveries: [
        { what: `cox up to ${nodes.length} nodes Ready`, done: () => up },
        {
          what: `cox up to the same ${replicas} pods Ready`,
          async done() {
            const given = new AbortController()
            up.finally(() => given.abort()).catch(() => {})
            const now = await watchSoon(stage, given.signal)
            stage.afterwards(now.stop)
            await now.until(
              all => all.size === replicas && [...all.values()].every(p => isReady(p) && !former.has(containerOf(p))),
              'the pods run again',
            )
          },
        },
      ],
    }
  },
}
