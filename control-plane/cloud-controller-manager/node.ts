/**
 * cloud-node-controller: a new node is told what the cloud knows of it (zone, region, instance type, provider ID), and may be used from
 * then on (k8s.io/cloud-provider, controllers/node).
 */
import type { Node } from '#shared/api/core/node.ts'
import { nodes } from '#shared/api/kinds.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import { exponential, type Durations } from '#shared/component/counts.ts'
import { isNotFound, isStatus } from '#shared/machinery/status.ts'
import type { InstanceMetadata } from './cloud.ts'
import type { NewCloudController } from './context.ts'
import { hasTaint, taintsPatch, uninitializedTaint } from './nodes.ts'

/** A node that the cloud does not know yet is asked about again, ms. */
const unknownRetryMs = 2_000

const labelsOf = ({ zone, region, instanceType }: InstanceMetadata): Record<string, string> => ({
  'topology.kubernetes.io/zone': zone,
  'topology.kubernetes.io/region': region,
  'failure-domain.beta.kubernetes.io/zone': zone,
  'failure-domain.beta.kubernetes.io/region': region,
  'node.kubernetes.io/instance-type': instanceType,
  'beta.kubernetes.io/instance-type': instanceType,
})

/** What it gets that it lacks. Labels that somebody has set stay: people say so what zone a node shall count for. */
function missing(node: Node, about: InstanceMetadata): { labels?: Record<string, string>; providerID?: string } {
  const labels = Object.entries(labelsOf(about)).filter(([name]) => node.metadata.labels?.[name] === undefined)
  return {
    ...(labels.length > 0 ? { labels: Object.fromEntries(labels) } : {}),
    ...(node.spec.providerID ? {} : { providerID: about.providerID }),
  }
}

export const cloudNodeController: NewCloudController = ({ cloud, client, informer, recorder, metrics, log }) => {
  const all = informer(nodes)
  const events = recorder('cloud-node-controller')
  const delay = (name: string, what: string): Durations =>
    metrics.histogram(
      `node_controller_${name}_delay_seconds`,
      `[ALPHA] Number of seconds after node creation when ${what}`,
      exponential(1, 4, 6),
    )
  const initialSync = delay('initial_node_sync', 'NodeController finished the initial synchronization of a single node.')
  const taintRemoval = delay('cloud_provider_taint_removal', 'NodeController removed the cloud-provider taint of a single node.')
  return {
    name: 'cloud-node-controller',
    client,
    sources: [
      source(all, ({ object, type }) =>
        type !== 'DELETED' && (hasTaint(object, uninitializedTaint) || !object.spec.providerID) ? [keyOf(object)] : [],
      ),
    ],
    async reconcile(key, client) {
      const node = all.get('', splitKey(key)[1])
      if (!node) return
      const tainted = hasTaint(node, uninitializedTaint)
      if (!tainted && node.spec.providerID) return
      const about = await cloud.instances.instanceMetadata(node)
      // Without the taint it may be somebody else's, who never meant it for this cloud.
      if (!about) return tainted ? { requeueAfterMs: unknownRetryMs } : undefined
      const { labels, providerID } = missing(node, about)
      const patch = tainted
        ? (taintsPatch(node, taints => taints.filter(t => t.key !== uninitializedTaint)) as { metadata: object; spec: object })
        : { metadata: {}, spec: {} }
      try {
        await client.patch(nodes, '', node.metadata.name ?? '', 'merge', {
          metadata: { ...patch.metadata, ...(labels ? { labels } : {}) },
          spec: { ...patch.spec, ...(providerID === undefined ? {} : { providerID }) },
        })
      } catch (e) {
        // Its next version comes by itself.
        if (isNotFound(e) || isStatus(e, 'Conflict')) return
        throw e
      }
      if (tainted) {
        const seconds = (Date.now() - Date.parse(node.metadata.creationTimestamp ?? '')) / 1000
        for (const one of [initialSync, taintRemoval]) one.observe(seconds)
        events.event(node, 'Normal', 'Synced', 'Node synced successfully')
        log.info({ node: node.metadata.name, zone: about.zone, providerID: about.providerID }, 'node initialized with the cloud provider')
      }
    },
    log,
  }
}
