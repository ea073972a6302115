/** Which node asks (pkg/auth/nodeidentifier). */
import type { UserInfo } from '#shared/bus/transport.ts'

const prefix = 'system:node:'

/** The name of the node whose user it is, undefined when it is no node's. */
export function nodeOf({ name, groups }: UserInfo): string | undefined {
  return name.startsWith(prefix) && groups.includes('system:nodes') ? name.slice(prefix.length) : undefined
}
