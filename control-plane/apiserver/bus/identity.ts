/**
 * Who asks, over NATS: the identity that the nats-server vouches for, with the groups that Kubernetes gives it. An API server asks nobody:
 * its credentials may not, and it would be nobody special.
 */
import type { UserInfo } from '#shared/bus/transport.ts'

/** One object for each identity: what was worked out about a user is remembered by it. */
const users = new Map<string, UserInfo>()
const maxUsers = 10_000

/**
 * Undefined for a machine that has not joined yet: whoever was handed the join command is of that identity, and is who the token in the
 * request says.
 */
export function userOf(identity: string): UserInfo | undefined {
  if (identity.startsWith('system:bootstrap:')) return undefined
  let user = users.get(identity)
  if (!user) {
    if (users.size >= maxUsers) users.clear()
    users.set(identity, (user = newUser(identity)))
  }
  return user
}

function newUser(identity: string): UserInfo {
  const groups = ['system:authenticated']
  if (identity.startsWith('system:node:')) groups.unshift('system:nodes')
  if (identity === 'system:admin') groups.unshift('system:masters')
  return { name: identity, groups }
}
