/** core/v1 Node: a machine that runs pods. https://kubernetes.io/docs/concepts/architecture/nodes/ */
import type { Infer } from '../../machinery/schema.ts'
import { nodes } from '../kinds.ts'
import type { Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { nodeSchema, taint } from './nodeschema.ts'

export type Node = Stored<Infer<typeof nodeSchema>>
export type NodeStatus = NonNullable<Node['status']>
export type NodeCondition = NonNullable<NodeStatus['conditions']>[number]
export type Taint = Infer<typeof taint>

export const node = resource<Node>({
  ...nodes,
  schema: nodeSchema,
  singular: 'node',
  shortNames: ['no'],
  hasStatus: true,
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
})
