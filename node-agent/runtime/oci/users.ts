/** Who a container's process runs as: numbers, or names looked up in the files of its image. */
import type { ContainerSpec } from '../runtime.ts'

export interface ResolvedUser {
  uid: number
  gid: number
  additionalGids: number[]
}

/**
 * Resolves a security context over an image's `user` (`name`, `uid`, or empty for root) with the text of /etc/passwd and /etc/group. The
 * group of an image's `user:group` counts for nothing, as in Kubernetes: without runAsGroup it is the user's of /etc/passwd, else root's.
 * A user's groups in /etc/group are kept unless supplementalGroupsPolicy is Strict. The primary group is among the additional ones, so that
 * a program which changes its own keeps no right that it would lose with it. Throws, in the runtime's words, for a name that is not there.
 */
export function resolveUser(wanted: ContainerSpec['user'], imageUser: string, passwd: string, group: string): ResolvedUser {
  const users = records(passwd)
  const [name = ''] = wanted.uid === undefined ? imageUser.split(':') : [String(wanted.uid)]
  const user = name === '' ? users.find(u => u[2] === '0') : (users.find(u => u[0] === name) ?? users.find(u => u[2] === name))
  if (name !== '' && user === undefined && !/^\d+$/.test(name))
    throw new Error(`unable to find user ${name}: no matching entries in passwd file`)
  const gid = wanted.gid ?? Number(user?.[3] ?? '0')
  const memberOf =
    user === undefined || wanted.supplementalGroupsPolicy === 'Strict'
      ? []
      : records(group)
          .filter(g => (g[3] ?? '').split(',').includes(user[0] ?? ''))
          .map(g => Number(g[2]))
  return { uid: Number(user?.[2] ?? name), gid, additionalGids: [...new Set([gid, ...memberOf, ...wanted.supplementalGroups])] }
}

const records = (text: string): string[][] =>
  text
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('#'))
    .map(line => line.split(':'))
