/** core/v1 Node: a machine that runs pods. https://kubernetes.io/docs/concepts/architecture/nodes/ */
import { Path } from '../../machinery/field.ts'
import { warningsForCIDR } from '../../machinery/ipwarnings.ts'
import type { Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { nodes } from '../kinds.ts'
import type { Stored } from '../meta/objectmeta.ts'
import { resource, type Column } from '../resource.ts'
import { nodeSchema, type taint } from './nodeschema.ts'
import { validateNode, validateNodeUpdate } from './nodevalidation.ts'

export type Node = Stored<Infer<typeof nodeSchema>>
export type NodeStatus = NonNullable<Node['status']>
export type NodeCondition = NonNullable<NodeStatus['conditions']>[number]
export type Taint = Infer<typeof taint>

function phase(node: Node): string {
  const ready = node.status?.conditions?.find(c => c.type === 'Ready')
  const words = [ready ? (ready.status === 'True' ? 'Ready' : 'NotReady') : 'Unknown']
  if (node.spec.unschedulable) words.push('SchedulingDisabled')
  return words.join(',')
}

const rolePrefix = 'node-role.kubernetes.io/'
function roles(node: Node): string {
  const found = new Set<string>()
  for (const [key, value] of Object.entries(node.metadata.labels ?? {})) {
    if (key.startsWith(rolePrefix) && key.length > rolePrefix.length) found.add(key.slice(rolePrefix.length))
    else if (key === 'kubernetes.io/role' && value) found.add(value)
  }
  return [...found].sort().join(',') || '<none>'
}

const address =
  (type: string) =>
  (node: Node): string =>
    node.status?.addresses?.find(a => a.type === type)?.address ?? '<none>'
const wide = (name: string, cell: (node: Node) => string): Column<Node> => ({ name, type: 'string', wide: true, cell })

export const node = resource<Node>({
  ...nodes,
  schema: nodeSchema,
  singular: 'node',
  shortNames: ['no'],
  hasStatus: true,
  keepsStatusOnCreate: true,
  subresources: {
    status: { verbs: ['get', 'patch', 'update'] },
    proxy: { verbs: ['connect'] },
  },
  columns: [
    nameColumn,
    { name: 'Status', type: 'string', doc: 'The status of the node', cell: phase },
    { name: 'Roles', type: 'string', doc: 'The roles of the node', cell: roles },
    ageColumn,
    { name: 'Version', type: 'string', doc: 'Version of its kubelet', cell: n => n.status?.nodeInfo?.kubeletVersion ?? '' },
    wide('Internal-IP', address('InternalIP')),
    wide('External-IP', address('ExternalIP')),
    wide('OS-Image', n => n.status?.nodeInfo?.osImage || '<unknown>'),
    wide('Kernel-Version', n => n.status?.nodeInfo?.kernelVersion || '<unknown>'),
    wide('Container-Runtime', n => n.status?.nodeInfo?.containerRuntimeVersion || '<unknown>'),
  ],
  fields: { 'spec.unschedulable': n => String(n.spec.unschedulable ?? false) },
  defaults: n => {
    defaultPodCIDRs(n.spec)
    if (n.status?.capacity && !n.status.allocatable) n.status.allocatable = { ...n.status.capacity }
  },
  // Configuration through the API is gone; the field stays only where a stored node has it.
  prepareForCreate: n => {
    delete n.spec.configSource
    delete n.status?.config
  },
  prepareForUpdate: (n, old) => {
    if (!old.spec.configSource) delete n.spec.configSource
    if (!old.status?.config) delete n.status?.config
  },
  warnings: n => [
    ...(n.spec.configSource ? ['spec.configSource: the feature is removed'] : []),
    ...(n.spec.externalID ? ['spec.externalID: this field is deprecated, and is unused by Kubernetes'] : []),
    ...(n.spec.podCIDRs ?? []).flatMap((range, i) => warningsForCIDR(range, new Path('spec').child('podCIDRs').index(i))),
  ],
  validate: validateNode,
  validateUpdate: validateNodeUpdate,
})

/** podCIDR is the first of podCIDRs; when they contradict each other, podCIDR wins. */
function defaultPodCIDRs(spec: Node['spec']): void {
  if (spec.podCIDR && spec.podCIDRs?.[0] !== spec.podCIDR) spec.podCIDRs = [spec.podCIDR]
  else if (spec.podCIDRs?.[0]) spec.podCIDR = spec.podCIDRs[0]
}
