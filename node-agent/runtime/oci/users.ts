/** Who a container's process runs as: numbers, or names looked up in the files of its image. */
import type { ContainerSpec } from '../runtime.ts'

export interface ResolvedUser {
  uid: number
  gid: number
  additionalGids: number[]
}

/**
 * Resolves a security context over an image's `user` (`name`, `uid`, `name:group`, `uid:gid`, or empty for root) with the text of
 * /etc/passwd and /etc/group. A user's groups in /etc/group are kept unless supplementalGroupsPolicy is Strict. Throws, in the runtime's words, for
 * a name that is not there.
 */
export function resolveUser(wanted: ContainerSpec['user'], imageUser: string, passwd: string, group: string): ResolvedUser {
  const users = records(passwd)
  const groups = records(group)
  const [userPart = '', groupPart = ''] = wanted.uid === undefined ? imageUser.split(':') : [String(wanted.uid)]
  const user = userPart === '' ? users.find(u => u[2] === '0') : (users.find(u => u[0] === userPart) ?? users.find(u => u[2] === userPart))
  if (userPart !== '' && user === undefined && !isId(userPart))
    throw new Error(`unable to find user ${userPart}: no matching entries in passwd file`)
  const namedGroup = groupPart === '' ? undefined : (groups.find(g => g[0] === groupPart) ?? groups.find(g => g[2] === groupPart))
  if (groupPart !== '' && namedGroup === undefined && !isId(groupPart))
    throw new Error(`unable to find group ${groupPart}: no matching entries in group file`)
  const uid = Number(user?.[2] ?? (userPart === '' ? '0' : userPart))
  const gid = wanted.gid ?? Number(namedGroup?.[2] ?? (groupPart !== '' ? groupPart : (user?.[3] ?? '0')))
  const memberOf =
    user === undefined || wanted.supplementalGroupsPolicy === 'Strict'
      ? []
      : groups.filter(g => (g[3] ?? '').split(',').includes(user[0] ?? '')).map(g => Number(g[2]))
  return { uid, gid, additionalGids: [...new Set([...memberOf, ...wanted.supplementalGroups])].filter(g => g !== gid) }
}

const isId = (text: string): boolean => /^\d+$/.test(text)
const records = (text: string): string[][] =>
  text
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('#'))
    .map(line => line.split(':'))
