/**
 * cloud-node-lifecycle-controller: of a node that is not ready, asks the cloud why. One whose instance is gone is deleted, one that is shut
 * down is tainted until it is ready again (k8s.io/cloud-provider, controllers/nodelifecycle).
 */
import { nodes } from '#shared/api/kinds.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import { isNotFound, isStatus } from '#shared/machinery/status.ts'
import { formatTime } from '#shared/machinery/time.ts'
import type { NewCloudController } from './context.ts'
import { hasTaint, readiness, shutdownTaint, taintsPatch } from './nodes.ts'

const ignoringChanges = (e: unknown): void => {
  if (!isNotFound(e) && !isStatus(e, 'Conflict')) throw e
}

export const cloudNodeLifecycleController: NewCloudController = ({ cloud, client, informer, recorder, log }) => {
  const all = informer(nodes)
  const events = recorder('cloud-node-lifecycle-controller')
  return {
    name: 'cloud-node-lifecycle-controller',
    client,
    sources: [
      source(all, ({ object, type }) =>
        type !== 'DELETED' && (readiness(object) !== 'True' || hasTaint(object, shutdownTaint)) ? [keyOf(object)] : [],
      ),
    ],
    start: queue =>
      cloud.onChange(() => {
        for (const node of all.list()) if (readiness(node) !== 'True') queue.add(keyOf(node))
      }),
    async reconcile(key, client) {
      const node = all.get('', splitKey(key)[1])
      if (!node) return
      const { name = '' } = node.metadata
      const setTaints = (change: Parameters<typeof taintsPatch>[1]) =>
        client.patch(nodes, '', name, 'merge', taintsPatch(node, change)).catch(ignoringChanges)
      if (readiness(node) === 'True') {
        if (hasTaint(node, shutdownTaint)) await setTaints(taints => taints.filter(t => t.key !== shutdownTaint))
        return
      }
      // One that has just registered may not have said anything.
      if (readiness(node) === '') return
      if (!(await cloud.instances.instanceExists(node))) {
        const why = `Deleting node ${name} because it does not exist in the cloud provider`
        events.event(node, 'Normal', 'DeletingNode', why)
        log.info({ node: name }, 'deleting a node whose instance is gone')
        return client.delete(nodes, '', name, { preconditions: { uid: node.metadata.uid ?? '' } }).catch(ignoringChanges)
      }
      if ((await cloud.instances.instanceShutdown(node)) && !hasTaint(node, shutdownTaint))
        await setTaints(taints => [...taints, { key: shutdownTaint, effect: 'NoSchedule', timeAdded: formatTime() }])
    },
    log,
  }
}
