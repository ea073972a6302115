/**
 * Who asks, over NATS: the identity that the nats-server vouches for, with the groups that Kubernetes gives it. An API server asks nobody:
 * its credentials may not, and it would be nobody special.
 */
import type { UserInfo } from '#shared/bus/transport.ts'

export function userOf(identity: string): UserInfo {
  const groups = ['system:authenticated']
  if (identity.startsWith('system:node:')) groups.unshift('system:nodes')
  if (identity === 'system:admin') groups.unshift('system:masters')
  return { name: identity, groups }
}
