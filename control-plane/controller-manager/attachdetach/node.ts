/** What attaching asks of nodes. */
import type { Node } from '#shared/api/core/node.ts'

type Judged = Pick<Node, 'spec' | 'status'>
export const isHealthy = ({ status }: Judged): boolean => status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True') ?? false

/** Somebody has said that nothing runs on the node any more: its volumes may be taken away. */
export const isOutOfService = ({ spec }: Judged): boolean => spec?.taints?.some(t => t.key === 'node.kubernetes.io/out-of-service') ?? false
